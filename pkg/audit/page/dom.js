// Nodes, requests and formats, for all parts of the page. Nodes are created one by one,
// so that no text of an event is parsed as HTML.

export const $ = (id) => document.getElementById(id);

// visible escapes characters that cannot be seen, such as those that reverse the
// direction of text.
function visible(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (c) => '\\u{' + c.codePointAt(0).toString(16) + '}');
}

// el makes an element of a class with children, which are nodes or text.
export function el(name, className, ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// read returns an answer of the API. Its strings may hold text of senders, so that
// they are made visible.
export async function read(path) {
  const answer = await fetch(path, {headers: {Accept: 'application/json'}});
  if (!answer.ok) throw new Error(path + ': ' + answer.status + ' ' + (await answer.text()).trim());
  return JSON.parse(await answer.text(), (_, v) => typeof v === 'string' ? visible(v) : v);
}

export const plural = (n, one) => n.toLocaleString() + ' ' + one + (n === 1 ? '' : 's');

const day = {year: 'numeric', month: 'short', day: 'numeric'};
const clock = {hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'short'};

// when shows a time with its date and zone.
export function when(text) {
  const t = new Date(text);
  const node = el('time', '', el('span', '', t.toLocaleDateString(undefined, day)), ' ', el('span', '', t.toLocaleTimeString(undefined, clock)));
  node.dateTime = text;
  return node;
}

// digest shows a digest, shortened by CSS only, with a button that copies it.
export function digest(text) {
  const button = el('button', 'copy', 'Copy');
  button.type = 'button';
  button.setAttribute('aria-label', 'Copy ' + text);
  return el('span', 'digest', el('code', '', text), button);
}

// copy copies the digest before a button, and shows and selects all of it. Without
// TLS, browsers have no clipboard for pages: then the selection is copied.
export async function copy(button) {
  const code = button.previousElementSibling;
  code.parentElement.classList.add('whole');
  getSelection().selectAllChildren(code);
  let copied = true;
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    copied = document.execCommand('copy');
  }
  button.textContent = copied ? 'Copied' : 'Selected';
  $('news').textContent = copied ? 'Copied ' + code.textContent : 'Selected: copy it with the keyboard or the menu';
  setTimeout(() => { button.textContent = 'Copy'; }, 3000);
}

let commitURL = '';
export function setCommitURL(template) { commitURL = template || ''; }

// commit shows the short id of a commit, as a link if there is a URL for it.
export function commit(id) {
  const code = el('code', '', id.slice(0, 12));
  if (!/^https?:/.test(commitURL)) return code;
  const link = el('a', '', code);
  link.href = commitURL.replaceAll('{commit}', encodeURIComponent(id));
  return link;
}
