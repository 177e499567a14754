// The drift: differences that the last sweep found in the destinations.
import {$, digest, el, plural, when} from './dom.js';

const firstFindings = 10; // that are shown at once
let shown = '';

function finding(f) {
  const ref = el('span', 'ref', f.repository + (f.tag ? ':' + f.tag : ''));
  const item = el('li', '', el('span', 'badge warn', f.kind), ' ', ref);
  if (f.digest) item.append(' ', digest(f.digest));
  if (f.wanted) item.append(el('div', 'dim', 'wanted: ', digest(f.wanted)));
  const why = [f.reason, f.line].filter(Boolean).join(' · ');
  if (why) item.append(el('div', 'dim', why));
  return item;
}

// about names a destination and the time of its sweep.
const about = (d) => [el('span', 'ref', d.destination), el('span', 'dim', ' · holds ' + plural(d.held, 'tag') + ' · swept at ', when(d.swept))];

// fold makes details that stay open or closed when the drift is shown again under the
// same name. The name of a destination has the count, so that news opens it.
function fold(name, open, head, ...content) {
  const old = [...document.querySelectorAll('#drifts details')].find((d) => d.dataset.name === name);
  const details = el('details', '', el('summary', '', ...head), ...content);
  details.dataset.name = name;
  details.open = old ? old.open : open;
  return details;
}

function destination(d) {
  const found = d.findings || [];
  const list = el('ul', '', ...found.slice(0, firstFindings).map(finding));
  const rest = found.slice(firstFindings);
  const content = [list];
  if (rest.length) content.push(fold(d.destination + ' more', false, [plural(rest.length, 'more difference')], el('ul', '', ...rest.map(finding))));
  if (d.count > found.length) content.push(el('p', 'dim', plural(d.count - found.length, 'more difference') + ' not listed'));
  return fold(d.destination + ' ' + d.count, true, [el('span', 'badge alarm', plural(d.count, 'difference')), ...about(d)], ...content);
}

// showDrift shows the drift of all destinations. sweep is the time between two
// sweeps; empty: there are none.
export function showDrift(all, sweep) {
  const text = JSON.stringify(all) + sweep;
  if (text === shown) return;
  shown = text;
  const count = all.reduce((n, d) => n + d.count, 0);
  $('count-drift').textContent = all.length ? plural(count, 'difference') : '';
  $('count-drift').className = 'badge ' + (count ? 'alarm' : 'VERIFIED');
  if (all.length === 0) {
    const why = sweep ? 'The first sweep of the destinations is running.' : 'Destinations are not swept: use --sweep-interval to compare whole destinations with the manifests.';
    $('drifts').replaceChildren(el('p', 'dim', why));
    return;
  }
  const clean = all.filter((d) => !d.count);
  const nodes = all.filter((d) => d.count).map(destination);
  if (clean.length) {
    const head = [el('span', 'badge VERIFIED', 'as wanted'), plural(clean.length, 'destination') + (clean.length === 1 ? ' agrees' : ' agree') + ' with the manifests'];
    nodes.push(fold('', false, head, el('ul', '', ...clean.map((d) => el('li', '', ...about(d))))));
  }
  const focused = document.activeElement.closest('#drifts details');
  $('drifts').replaceChildren(...nodes);
  if (focused) [...document.querySelectorAll('#drifts details')].find((d) => d.dataset.name === focused.dataset.name)?.firstElementChild.focus();
}
