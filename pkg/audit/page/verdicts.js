// The list of verdicts and its filters.
import {$, commit, digest, el, plural, read, when} from './dom.js';
import {begin, inWords} from './timeline.js';

const maxRows = 500; // verdicts that are shown, before older ones are asked for
let newest = 0, oldest = 0, asked = 0, room = maxRows;

// query returns the filters as a query string for the API.
function query(more) {
  const params = new URLSearchParams(more);
  const form = new FormData($('filters'));
  const verdicts = form.getAll('verdict');
  if (verdicts.length > 0) params.set('verdict', verdicts.join(','));
  for (const name of ['q', 'source']) if (form.get(name)) params.set(name, form.get(name));
  return params;
}

// inSpan returns the query with the chosen span.
function inSpan(more) {
  const params = query(more);
  if (begin()) params.set('since', new Date(begin()).toISOString());
  return 'api/verdicts?' + params;
}

// address returns the query string of the page's address.
export function address() { return '?' + query({span: $('span').value}); }

// restore sets the filters and the span from the page's address.
export function restore() {
  const given = new URLSearchParams(location.search);
  for (const name of ['q', 'source', 'span']) {
    const field = $(name), value = given.get(name);
    if (value && (name === 'q' || [...field.options].some((o) => o.value === value))) field.value = value;
  }
  if (!given.get('verdict')) return;
  const want = given.get('verdict').toUpperCase().split(',');
  for (const box of $('filters').querySelectorAll('[name=verdict]')) box.checked = want.includes(box.value);
}

// reason says why, with the line of the manifests that wants a verified change.
function reason(v) {
  const agrees = 'agrees with manifest ' + v.allowedBy;
  if (!v.allowedBy || !v.reason.startsWith(agrees)) return v.reason;
  const rest = v.reason.slice(agrees.length).replace(/^: wanted there$/, '');
  return 'wanted by ' + v.allowedBy.replace(/^(.*:\d+):\d+$/, '$1') + rest;
}

function row(v, isNew) {
  const what = el('td', '', el('span', 'ref', (v.repository || '(no repository)') + (v.tag ? ':' + v.tag : '')));
  if (v.digest) what.append(el('div', '', digest(v.digest)));
  const by = [v.action || 'malformed', 'reported by ' + v.source];
  if (v.actor) by.push('by user ' + v.actor);
  what.append(el('div', 'dim', by.join(' · ')));
  const why = el('td', '', reason(v));
  if (v.commit) why.append(el('div', 'dim', 'manifests at ', commit(v.commit)));
  const tr = el('tr', isNew ? 'new' : '', el('td', '', el('span', 'badge ' + v.verdict, v.verdict)), el('td', 'dim', when(v.judged)), what, why);
  tr.dataset.seq = v.seq;
  tr.dataset.judged = Date.parse(v.judged);
  tr.setAttribute('role', 'row'); // CSS for narrow screens makes blocks of the table, which removes its roles
  for (const td of tr.children) td.setAttribute('role', 'cell');
  return tr;
}

// reload shows the newest verdicts that match the filters.
export async function reload() {
  const mine = ++asked;
  const all = await read(inSpan({limit: 100}));
  if (mine !== asked) return; // the filters have changed since
  newest = all.length ? all[0].seq : 0;
  room = maxRows;
  $('rows').replaceChildren(...all.map((v) => row(v, false)));
  $('older').hidden = all.length < 100;
  tidy();
}

// tidy removes rows that are too many or before the span.
function tidy() {
  const rows = $('rows'), last = () => rows.lastElementChild;
  while (rows.childElementCount > room || last() && Number(last().dataset.judged) < begin()) last().remove();
  oldest = last() ? Number(last().dataset.seq) : 0;
  const none = $('none');
  none.hidden = Boolean(last());
  const filtered = $('q').value || $('source').value;
  const span = begin() ? ' ' + inWords() : '';
  none.textContent = filtered ? 'No verdict' + span + ' matches these filters.' : 'No verdict' + (span || ' yet') + '. Changes of the destinations appear here when registries send events.';
}

// update adds the verdicts since the last reading.
export async function update() {
  const mine = asked;
  const fresh = await read(inSpan({limit: 200, after: newest}));
  if (mine !== asked) return;
  if (fresh.length === 200) return reload(); // there may be more between these and those shown
  if (fresh.length) {
    newest = fresh[0].seq;
    $('rows').prepend(...fresh.map((v) => row(v, true)));
    const rejected = fresh.filter((v) => v.verdict === 'REJECTED').length;
    $('news').textContent = plural(fresh.length, 'new verdict') + (rejected ? ', ' + rejected + ' rejected' : '');
  }
  tidy();
}

// older adds the verdicts before those that are shown.
export async function older() {
  const mine = asked;
  const all = await read(inSpan({limit: 100, before: oldest}));
  if (mine !== asked) return;
  room += all.length;
  $('rows').append(...all.map((v) => row(v, false)));
  tidy();
  $('older').hidden = all.length < 100;
  $('news').textContent = plural(all.length, 'older verdict') + ' shown';
}
