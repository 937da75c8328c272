// The try-it page: takes pictures and addresses, has them judged one after the other, and shows what was said.
// Nothing outlives the page: no storage, no cookie, no address; the key is in a variable.

import { Refusal, judge, policies } from './try_service.js';
import { bounds, marked, result, row, sentence, told, weight, words } from './try_result.js';

const find = (selector) => document.querySelector(selector);
const [main, notice, place, list, batch, said] = ['#main', '#notice', '#place', '#list', '#batch', '#said'].map(find);
const [lock, keyField, urlField, policyField, files] = ['#by-key', '#key', '#url', '#policy', '#files'].map(find);
const mostItems = Number(main.dataset.mostItems);
const mostBytes = Number(main.dataset.mostBytes);
const nothing = place.firstElementChild;

let key = '';
let known = []; // policies
let items = []; // {name, file | url, picture, state: waiting | asking | done, answer | refusal, policy, tookMs}
let shown = null;
let working = false;
let stopped = false; // until somebody asks again

// --- The ground. Reviewers choose theirs (review.css); here the system says which, for there is nowhere to keep a choice.

const light = matchMedia('(prefers-color-scheme: light)');
const dress = () => document.documentElement.classList.toggle('light', light.matches);
light.addEventListener('change', dress);
dress();

find('#no-script').remove();

// --- What comes in.

function take(given) {
  const fitting = given.slice(0, mostItems);
  const added = fitting.map((one) => ({ ...one, state: 'waiting', picture: one.file && one.file.size <= mostBytes ? URL.createObjectURL(one.file) : null }));
  if (!added.length) return;
  const all = [...items, ...added];
  for (const old of all.splice(0, Math.max(0, all.length - mostItems))) drop(old);
  items = all;
  stopped = false;
  tell(given.length > mostItems ? `${given.length} pictures are more than the ${mostItems} that this page takes at once: the first ${mostItems} are judged.` : '');
  show(added[0]);
  work();
}

const takeFiles = (chosen) => take([...chosen].map((file) => ({ file, name: file.name || 'picture' })));

function takeUrl(text) {
  const url = text.trim();
  if (url) take([{ url, name: url }]);
  else tell('Write the address of a picture first, such as https://example.org/picture.jpg.');
}

function drop(item) {
  if (item.picture) URL.revokeObjectURL(item.picture);
  if (item === shown) shown = null;
}

// --- One after the other.

async function work() {
  if (working) return;
  working = true;
  let item;
  try {
    while (!stopped && (item = items.find((one) => one.state === 'waiting'))) await look(item);
  } finally {
    working = false;
  }
}

async function look(item) {
  item.state = 'asking';
  item.policy = policyField.value;
  paint();
  const begun = performance.now();
  try {
    if (item.file?.size > mostBytes) throw tooLarge(item.file);
    item.answer = await judge(item, item.policy, key);
    item.state = 'done';
  } catch (problem) {
    if (!(problem instanceof Refusal)) throw problem;
    settle(item, problem);
  }
  item.tookMs = performance.now() - begun;
  if (items.includes(item)) announce(item);
  paint();
}

function tooLarge(file) {
  return new Refusal('too_large', { detail: `it has ${weight(file.size)}, and this service takes ${weight(mostBytes)}; it was not sent` });
}

function settle(item, refusal) {
  item.failures = (item.failures ?? 0) + refusal.mayBeItsOwn;
  if (refusal.stopsAll && item.failures < 2) {
    stopped = true;
    item.state = 'waiting';
    explain(refusal, () => { stopped = false; work(); });
  } else {
    item.state = 'done';
    item.refusal = refusal;
  }
}

function judgeAgain() {
  tellRule();
  if (!shown || shown.state !== 'done') return;
  Object.assign(shown, { state: 'waiting', answer: null, refusal: null });
  work();
}

// --- What the page says.

function announce(item) {
  if (item.state !== 'done') return;
  const { word, why, detail } = told(item);
  said.textContent = [`${item.name}: ${word}.`, why, detail].filter(Boolean).join(' ');
  if (item === shown && place.getBoundingClientRect().top > innerHeight * 0.8) place.scrollIntoView();
}

function tell(text, ...more) {
  const note = document.createElement('p');
  note.className = 'note bad';
  const message = document.createElement('span');
  message.append(...marked(text));
  note.append(message, ...more);
  notice.replaceChildren(...(text ? [note] : []));
}

/** What was refused for all, and the way on. */
function explain(refusal, again) {
  if (refusal.code === 'key_required' || (refusal.code === 'not_permitted' && key)) {
    askForKey(sentence(refusal.detail), items.length > 0);
    return;
  }
  const wait = refusal.waitS === null ? '' : `It asks you to wait ${refusal.waitS === 1 ? '1 second' : `${refusal.waitS} seconds`}.`;
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'quiet';
  button.textContent = 'Try again';
  button.addEventListener('click', () => { tell(''); again(); });
  tell([words(refusal.code), sentence(refusal.detail), wait].filter(Boolean).join(' '), button);
}

function show(item) {
  shown = item;
  paint();
}

function paint() {
  batch.hidden = items.length < 2;
  const focused = [...list.children].findIndex((node) => node.contains(document.activeElement));
  list.replaceChildren(...items.map((item) => row(item, item === shown, () => show(item))));
  list.children[focused]?.querySelector('button').focus();
  if (!shown) place.replaceChildren(nothing);
  else if (place.drawn !== shown || shown.state !== 'done' || place.state !== 'done') place.replaceChildren(result(shown, Boolean(key)));
  Object.assign(place, { drawn: shown, state: shown?.state });
}

function clear() {
  items.forEach(drop);
  items = [];
  tell('');
  said.textContent = 'Cleared.';
  paint();
  find('#choose').focus();
}

// --- The key.

function askForKey(why, isWaitedFor) {
  find('#lock-why').replaceChildren(...marked(why));
  find('#unlocked').hidden = true;
  lock.hidden = false;
  key = '';
  if (isWaitedFor) keyField.focus();
}

async function useKey() {
  const given = keyField.value.trim();
  if (!/^[\x21-\x7e]+$/.test(given)) {
    askForKey('That is no key: it begins with demure_ and has no spaces.', true);
    return;
  }
  key = given;
  tell('');
  if (!(await readPolicies(true))) return;
  keyField.value = '';
  lock.hidden = true;
  find('#unlocked').hidden = false;
  find('#choose').focus();
  stopped = false;
  work();
}

function forgetKey() {
  key = '';
  find('#unlocked').hidden = true;
  find('#rules').hidden = true;
  policyField.replaceChildren();
  readPolicies(true);
}

// --- The policies.

async function readPolicies(isWaitedFor = false) {
  try {
    known = await policies(key);
  } catch (problem) {
    if (!(problem instanceof Refusal)) throw problem;
    explain(problem, () => readPolicies(true));
    if (isWaitedFor && !lock.hidden) keyField.focus();
    return false;
  }
  policyField.replaceChildren(...known.map(({ name }) => new Option(name, name)));
  find('#chooser').hidden = known.length < 2;
  find('#rules').hidden = !known.length;
  tellRule();
  return true;
}

function tellRule() {
  const policy = known.find(({ name }) => name === policyField.value);
  find('#policy-words').textContent = policy?.description ?? '';
  for (const decision of ['adult', 'safe']) find(`#rule-${decision}`).replaceChildren(...bounds(policy?.[decision] ?? ''));
}

// --- Hands.

const isText = (node) => node.matches?.('input, textarea');
let over = 0; // entered and not left: each element within counts

function lay(isOver) {
  over = Math.max(0, over + (isOver ? 1 : -1));
  document.body.classList.toggle('dropping', over > 0);
}

function takeTransfer(data) {
  if (data.files.length) takeFiles(data.files);
  else takeUrl(data.getData('text/uri-list').split('\n').find((line) => !line.startsWith('#')) || data.getData('text/plain'));
}

addEventListener('dragenter', () => lay(true));
addEventListener('dragleave', () => lay(false));
addEventListener('dragover', (event) => event.preventDefault()); // or the browser opens what is dropped
addEventListener('drop', (event) => {
  event.preventDefault();
  over = 0;
  document.body.classList.remove('dropping');
  takeTransfer(event.dataTransfer);
});
addEventListener('paste', (event) => {
  if (isText(event.target) && !event.clipboardData.files.length) return;
  event.preventDefault();
  takeTransfer(event.clipboardData);
});

find('#choose').addEventListener('click', () => files.click());
files.addEventListener('change', () => { takeFiles(files.files); files.value = ''; });
find('#by-url').addEventListener('submit', (event) => { event.preventDefault(); takeUrl(urlField.value); });
lock.addEventListener('submit', (event) => { event.preventDefault(); useKey(); });
policyField.addEventListener('change', judgeAgain);
find('#clear').addEventListener('click', clear);
find('#forget-key').addEventListener('click', forgetKey);

const cover = () => place.firstElementChild.dispatchEvent(new Event('cover'));
addEventListener('blur', cover);
document.addEventListener('visibilitychange', cover);

readPolicies();
