// The page of cip audit. It polls the API.
import {$, commit, copy, el, plural, read, setCommitURL, when} from './dom.js';
import {showDrift} from './drift.js';
import {forgetTimeline, readTimeline, showTimeline} from './timeline.js';
import {address, older, reload, restore, update} from './verdicts.js';

const every = 2000; // milliseconds between two polls
let paused = false, stored = {};

function showStatus(st) {
  setCommitURL(st.commitURL);
  stored = st.counts;
  const state = $('state');
  state.className = 'state ' + (st.ready ? 'good' : 'bad');
  state.textContent = st.ready ? (paused ? 'Paused' : 'Live') : 'Not ready';
  $('count-pending').textContent = st.pending.toLocaleString();
  $('count-pending').parentElement.classList.toggle('some', st.pending > 0);
  const m = st.manifests, line = $('manifests');
  line.replaceChildren();
  if (m.read) line.append('Manifests ', m.commit ? commit(m.commit) : el('code', '', (m.digest || '').slice(0, 19)), ' read at ', when(m.read));
  const trouble = [];
  if (m.faults) trouble.push(el('p', '', 'The manifests are broken:'), el('ul', '', ...m.faults.map((f) => el('li', '', f))));
  else if (m.error) trouble.push(el('p', '', m.error));
  if (st.retrying) trouble.push(el('p', '', plural(st.retrying, 'event') + ' cannot be judged yet. ' + (st.trouble || '')));
  $('trouble').hidden = trouble.length === 0;
  $('trouble').replaceChildren(...trouble);
}

async function poll() {
  try {
    const [st, drift] = await Promise.all([read('api/status'), read('api/drift'), readTimeline()]);
    showStatus(st);
    showDrift(drift, st.sweep);
    showTimeline(stored);
    if (!paused) await update();
  } catch (err) {
    forgetTimeline();
    $('state').className = 'state bad';
    $('state').textContent = 'No connection';
    $('trouble').hidden = false;
    $('trouble').textContent = 'The auditor does not answer: ' + err.message;
  }
}

function listen() {
  let typing;
  const changed = () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      history.replaceState(null, '', address());
      showTimeline(stored);
      reload().catch(() => {}); // the next poll shows the error
    }, 150);
  };
  $('filters').addEventListener('input', changed);
  $('filters').addEventListener('submit', (e) => { e.preventDefault(); changed(); });
  $('span').addEventListener('change', changed);
  $('older').addEventListener('click', () => older().catch(() => {}));
  $('pause').addEventListener('click', () => {
    paused = !paused;
    $('pause').setAttribute('aria-pressed', paused);
    $('pause').textContent = paused ? 'Resume' : 'Pause';
    poll();
  });
  document.addEventListener('click', (e) => { if (e.target.matches('.copy')) copy(e.target); });
  document.addEventListener('keydown', (e) => {
    if (e.key === '/' && !/^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) { e.preventDefault(); $('q').focus(); }
  });
}

restore();
listen();
await read('api/status').then(showStatus).then(reload).catch(() => {}); // links of commits need the status
for (;;) {
  await poll();
  document.body.dataset.polled = 'yes';
  await new Promise((done) => setTimeout(done, document.hidden ? 5 * every : every));
}
