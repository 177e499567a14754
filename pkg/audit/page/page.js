// The page of cip audit. It polls the API and creates all nodes itself, so that no
// text of an event is parsed as HTML.
'use strict';

const every = 2000; // milliseconds between two polls
const maxRows = 500; // verdicts that are shown
const $ = (id) => document.getElementById(id);
let newest = 0, oldest = 0, paused = false, asked = 0, minutes = [], commitURL = '';

// visible escapes characters that cannot be seen, such as those that reverse the
// direction of text.
function visible(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (c) => '\\u{' + c.codePointAt(0).toString(16) + '}');
}

// el makes an element of a class with children, which are nodes or text.
function el(name, className, ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// read returns an answer of the API. Its strings may hold text of senders, so that
// they are made visible.
async function read(path) {
  const answer = await fetch(path, {headers: {Accept: 'application/json'}});
  if (!answer.ok) throw new Error(path + ': ' + answer.status + ' ' + (await answer.text()).trim());
  return JSON.parse(await answer.text(), (_, v) => typeof v === 'string' ? visible(v) : v);
}

const plural = (n, one) => n.toLocaleString() + ' ' + one + (n === 1 ? '' : 's');
const short = (digest) => digest ? digest.slice(0, 19) + '…' : '';

function when(text) {
  const t = new Date(text), node = el('time', '', t.toLocaleTimeString());
  node.dateTime = text;
  node.title = t.toLocaleString();
  if (t.toDateString() !== new Date().toDateString()) node.prepend(t.toLocaleDateString() + ' ');
  return node;
}

// commit returns the short id of a commit, as a link if there is a URL for it.
function commit(id) {
  const code = el('code', '', id.slice(0, 12));
  if (!/^https?:/.test(commitURL)) return code;
  const link = el('a', '', code);
  link.href = commitURL.replaceAll('{commit}', encodeURIComponent(id));
  return link;
}

// query returns the filters as a query string.
function query(more) {
  const params = new URLSearchParams(more);
  const form = new FormData($('filters'));
  const verdicts = form.getAll('verdict');
  if (verdicts.length > 0) params.set('verdict', verdicts.join(','));
  for (const name of ['q', 'source']) if (form.get(name)) params.set(name, form.get(name));
  return params.toString();
}

function row(v, isNew) {
  const ref = el('span', 'ref', v.repository || '(no repository)');
  if (v.tag) ref.append(':' + v.tag);
  const what = el('td', '', ref);
  if (v.digest) {
    const digest = el('div', 'ref dim', short(v.digest));
    digest.title = v.digest;
    what.append(digest);
  }
  const by = [v.action || 'malformed', 'sent by ' + v.source];
  if (v.actor) by.push('done by ' + v.actor);
  what.append(el('div', 'dim', by.join(' · ')));
  const why = el('td', '', v.reason);
  if (v.commit) why.append(el('div', 'dim', 'manifests at ', commit(v.commit)));
  const tr = el('tr', isNew ? 'new' : '', el('td', '', el('span', 'badge ' + v.verdict, v.verdict)), el('td', 'dim', when(v.judged)), what, why);
  tr.dataset.seq = v.seq;
  tr.setAttribute('role', 'row'); // CSS for narrow screens makes blocks of the table, which removes its roles
  for (const td of tr.children) td.setAttribute('role', 'cell');
  return tr;
}

// reload shows the newest verdicts that match the filters.
async function reload() {
  const mine = ++asked;
  const all = await read('api/verdicts?' + query({limit: 100}));
  if (mine !== asked) return; // the filters have changed since
  newest = all.length ? all[0].seq : 0;
  oldest = all.length ? all[all.length - 1].seq : 0;
  $('rows').replaceChildren(...all.map((v) => row(v, false)));
  $('older').hidden = all.length < 100;
  showNone();
}

function showNone() {
  const none = $('none'), empty = $('rows').childElementCount === 0;
  none.hidden = !empty;
  const filtered = $('q').value || $('source').value;
  none.textContent = filtered ? 'No verdict matches these filters.' : 'No verdict yet. Changes of the destinations appear here when registries send events.';
}

async function update() {
  const mine = asked;
  const fresh = await read('api/verdicts?' + query({limit: 200, after: newest}));
  if (mine !== asked || fresh.length === 0) return;
  if (fresh.length === 200) return reload(); // there may be more between these and those shown
  newest = fresh[0].seq;
  oldest = oldest || fresh[fresh.length - 1].seq;
  $('rows').prepend(...fresh.map((v) => row(v, true)));
  while ($('rows').childElementCount > maxRows) $('rows').lastElementChild.remove();
  oldest = Number($('rows').lastElementChild.dataset.seq);
  const rejected = fresh.filter((v) => v.verdict === 'REJECTED').length;
  $('news').textContent = plural(fresh.length, 'new verdict') + (rejected ? ', ' + rejected + ' rejected' : '');
  showNone();
}

async function older() {
  const mine = asked;
  const all = await read('api/verdicts?' + query({limit: 100, before: oldest}));
  if (mine !== asked) return;
  $('rows').append(...all.map((v) => row(v, false)));
  if (all.length) oldest = all[all.length - 1].seq;
  $('older').hidden = all.length < 100;
  $('news').textContent = plural(all.length, 'older verdict') + ' shown';
}

// tile shows a number, and marks it if it is not zero.
function tile(name, n) {
  $('count-' + name).textContent = n.toLocaleString();
  $('count-' + name).parentElement.classList.toggle('some', n > 0);
}

function showStatus(st) {
  commitURL = st.commitURL || '';
  const state = $('state');
  state.className = 'state ' + (st.ready ? 'good' : 'bad');
  state.textContent = st.ready ? (paused ? 'Paused' : 'Live') : 'Not ready';
  for (const [name, n] of Object.entries(st.counts)) $('count-' + name).textContent = n.toLocaleString();
  tile('pending', st.pending);
  const m = st.manifests, line = $('manifests');
  line.replaceChildren();
  if (m.read) line.append('Manifests ', m.commit ? commit(m.commit) : el('code', '', short(m.digest)), ' read at ', when(m.read));
  const trouble = [];
  if (m.error) trouble.push(m.error);
  if (st.retrying) trouble.push(plural(st.retrying, 'event') + ' cannot be judged yet. ' + (st.trouble || ''));
  $('trouble').hidden = trouble.length === 0;
  $('trouble').textContent = trouble.join(' — ');
  return st;
}

// showTimeline draws the bars, with rejections at the bottom, where they are easy to see.
function showTimeline() {
  const span = Number($('span').value), bars = 60, step = span / bars * 60000;
  const end = Math.ceil(Date.now() / step) * step, begin = end - bars * step;
  const sums = Array.from({length: bars}, () => ({rejected: 0, verified: 0, ignored: 0}));
  const total = {rejected: 0, verified: 0, ignored: 0};
  for (const m of minutes) {
    const i = Math.floor((Date.parse(m.time) - begin) / step);
    if (i < 0 || i >= bars) continue;
    for (const kind in total) { sums[i][kind] += m[kind]; total[kind] += m[kind]; }
  }
  const highest = Math.max(1, ...sums.map((s) => s.rejected + s.verified + s.ignored));
  const svg = 'http://www.w3.org/2000/svg', nodes = [];
  for (const y of [0.5, 50, 100, 149.5]) {
    const line = document.createElementNS(svg, 'line');
    for (const [k, v] of [['x1', 0], ['x2', 960], ['y1', y], ['y2', y]]) line.setAttribute(k, v);
    nodes.push(line);
  }
  sums.forEach((s, i) => {
    let y = 150;
    for (const kind of ['rejected', 'verified', 'ignored']) {
      if (!s[kind]) continue;
      const height = Math.max(2, s[kind] / highest * 144), rect = document.createElementNS(svg, 'rect');
      y -= height;
      for (const [k, v] of [['x', i * 16 + 2], ['y', y], ['width', 12], ['height', height], ['class', kind]]) rect.setAttribute(k, v);
      nodes.push(rect);
    }
  });
  $('timeline').replaceChildren(...nodes);
  $('axis-from').textContent = span === 60 ? '1 hour ago' : span / 60 + ' hours ago';
  $('axis-most').textContent = 'most at once: ' + (highest === 1 && !(total.rejected + total.verified + total.ignored) ? 0 : highest).toLocaleString();
  $('timeline-text').textContent = 'In this span: ' + total.rejected + ' rejected, ' + total.verified + ' verified, ' + total.ignored + ' ignored.';
}

function showDrift(all, sweep) {
  tile('drift', all.reduce((n, d) => n + d.count, 0));
  if (all.length === 0) {
    const text = sweep ? 'The first sweep of the destinations is running.' : 'Destinations are not swept: use --sweep-interval to compare whole destinations with the manifests.';
    $('drifts').replaceChildren(el('p', 'panel empty', text));
    return;
  }
  const open = new Set([...document.querySelectorAll('#drifts details[open]')].map((d) => d.dataset.name));
  $('drifts').replaceChildren(...all.map((d) => {
    const head = el('summary', '', el('span', 'badge ' + (d.count ? 'alarm' : 'VERIFIED'), d.count ? plural(d.count, 'finding') : 'as wanted'),
      el('span', 'ref', d.destination), el('span', 'dim', ' · ' + plural(d.held, 'tag') + ' · swept at '), when(d.swept));
    const list = el('ul', '');
    for (const f of d.findings || []) {
      const ref = el('span', 'finding', f.repository + (f.tag ? ':' + f.tag : '') + (f.digest ? '@' + short(f.digest) : ''));
      ref.title = f.digest || '';
      list.append(el('li', '', el('span', 'badge warn', f.kind), ' ', ref, el('div', 'dim', [f.reason, f.line].filter(Boolean).join(' · '))));
    }
    if (d.count > (d.findings || []).length) list.append(el('li', 'dim', 'and ' + (d.count - d.findings.length) + ' more'));
    if (!d.count) list.append(el('li', 'dim', 'Everything agrees with the manifests.'));
    const details = el('details', '', head, list);
    details.dataset.name = d.destination;
    details.open = open.has(d.destination);
    return details;
  }));
}

let driftText = '';
async function poll() {
  try {
    const [st, drift, line] = await Promise.all([read('api/status'), read('api/drift'), read('api/timeline')]);
    showStatus(st);
    const text = JSON.stringify(drift) + st.sweep;
    if (text !== driftText) showDrift(drift, st.sweep);
    driftText = text;
    minutes = line;
    showTimeline();
    if (!paused) await update();
  } catch (err) {
    $('state').className = 'state bad';
    $('state').textContent = 'No connection';
    $('trouble').hidden = false;
    $('trouble').textContent = 'The auditor does not answer: ' + err.message;
  }
}

async function start() {
  const filters = $('filters');
  const given = new URLSearchParams(location.search);
  if (given.get('q')) $('q').value = given.get('q');
  if (given.get('source')) $('source').value = given.get('source');
  if (given.get('verdict')) {
    const want = given.get('verdict').toUpperCase().split(',');
    for (const box of filters.querySelectorAll('[name=verdict]')) box.checked = want.includes(box.value);
  }
  let typing;
  const changed = () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      history.replaceState(null, '', '?' + query({}));
      reload().catch(() => {}); // the next poll shows the error
    }, 150);
  };
  filters.addEventListener('input', changed);
  filters.addEventListener('submit', (e) => { e.preventDefault(); changed(); });
  $('span').addEventListener('change', showTimeline);
  $('older').addEventListener('click', () => older().catch(() => {}));
  $('pause').addEventListener('click', () => {
    paused = !paused;
    $('pause').setAttribute('aria-pressed', paused);
    $('pause').textContent = paused ? 'Resume' : 'Pause';
    poll();
  });
  document.addEventListener('keydown', (e) => {
    if (e.key === '/' && !/^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) { e.preventDefault(); $('q').focus(); }
  });
  await reload().catch(() => {});
  for (;;) {
    await poll();
    document.body.dataset.polled = 'yes';
    await new Promise((done) => setTimeout(done, document.hidden ? 5 * every : every));
  }
}

start();
