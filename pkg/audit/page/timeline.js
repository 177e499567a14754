// The time span, which the tiles, the chart and the list of verdicts have in common.
import {$, read} from './dom.js';

const kinds = ['rejected', 'verified', 'ignored'];
const kept = 50 * 3600e3; // milliseconds for which the server counts by the minute
const bars = 60;
let minutes = new Map(); // time of a minute → its numbers of verdicts

// begin returns when the chosen span began, in milliseconds; 0: at the first verdict.
export function begin(now = Date.now()) {
  switch ($('span').value) {
    case '1h': return now - 3600e3;
    case '6h': return now - 6 * 3600e3;
    case '24h': return now - 24 * 3600e3;
    case 'yesterday': {
      const t = new Date(now);
      return new Date(t.getFullYear(), t.getMonth(), t.getDate() - 1).getTime();
    }
  }
  return 0;
}

// inWords names the chosen span.
export function inWords() {
  const text = $('span').selectedOptions[0].textContent;
  return text.startsWith('last') ? 'in the ' + text : text;
}

// readTimeline reads the minutes that are new or may have changed.
export async function readTimeline() {
  const last = [...minutes.keys()].at(-1);
  for (const m of await read('api/timeline' + (last ? '?since=' + encodeURIComponent(last) : ''))) minutes.set(m.time, m);
  for (const time of minutes.keys()) if (Date.parse(time) < Date.now() - kept) minutes.delete(time);
}

// forgetTimeline makes the next reading a full one.
export function forgetTimeline() { minutes = new Map(); }

// showTimeline counts the verdicts of the span and draws the bars, with rejections at
// the bottom, where they are easy to see. stored has the numbers of all verdicts.
export function showTimeline(stored) {
  const now = Date.now(), from = Math.max(begin(now), now - kept);
  const step = Math.ceil((now - from) / bars / 60e3) * 60e3; // whole minutes
  const end = Math.ceil(now / 60e3) * 60e3, first = end - bars * step;
  const sums = Array.from({length: bars}, () => ({rejected: 0, verified: 0, ignored: 0}));
  const total = {rejected: 0, verified: 0, ignored: 0};
  for (const m of minutes.values()) {
    const at = Date.parse(m.time);
    if (at < from - 60e3) continue;
    const i = Math.max(0, Math.floor((at - first) / step));
    for (const kind of kinds) { sums[Math.min(i, bars - 1)][kind] += m[kind]; total[kind] += m[kind]; }
  }
  draw(sums);
  const all = begin() === 0, highest = Math.max(...sums.map((s) => s.rejected + s.verified + s.ignored));
  for (const kind of kinds) {
    const name = kind.toUpperCase();
    $('count-' + name).textContent = (all ? stored[name] || 0 : total[kind]).toLocaleString();
  }
  $('timeline-title').textContent = all ? 'Verdicts of the last 2 days' : 'Verdicts ' + inWords();
  $('axis-from').textContent = new Date(from).toLocaleString(undefined, {month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23'});
  $('axis-most').textContent = 'peak ' + highest.toLocaleString() + (step === 60e3 ? ' a minute' : ' in ' + step / 60e3 + ' minutes');
  $('timeline-text').textContent = 'In this span: ' + total.rejected + ' rejected, ' + total.verified + ' verified, ' + total.ignored + ' ignored.';
}

function node(name, attributes) {
  const n = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [k, v] of Object.entries(attributes)) n.setAttribute(k, v);
  return n;
}

function draw(sums) {
  const highest = Math.max(1, ...sums.map((s) => s.rejected + s.verified + s.ignored));
  const nodes = [0.5, 50, 100, 149.5].map((y) => node('line', {x1: 0, x2: 960, y1: y, y2: y}));
  sums.forEach((s, i) => {
    let y = 150;
    for (const kind of kinds) {
      if (!s[kind]) continue;
      const height = Math.max(2, s[kind] / highest * 144);
      y -= height;
      nodes.push(node('rect', {x: i * 16 + 2, y, width: 12, height, class: kind}));
    }
  });
  $('timeline').replaceChildren(...nodes);
}
