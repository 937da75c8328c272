// Draws what the service said of one picture. All of it is put in as text: names, addresses and messages are other people's.

import { curl } from './try_service.js';

const find = (selector, within = document) => within.querySelector(selector);
const copyOf = (id) => document.importNode(find(`#${id}`).content.firstElementChild, true);
const number = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const size = new Intl.NumberFormat('en-GB', { maximumSignificantDigits: 3 });

/** In plain words, or '' for a code that has none. */
export const words = (code) => find(`[data-code="${CSS.escape(code)}"]`, find('#words').content)?.textContent ?? '';

/** The service's messages begin small and end without a stop. */
export function sentence(text) {
  const whole = text.trim();
  return whole && whole[0].toUpperCase() + whole.slice(1) + (/[.?!…]$/.test(whole) ? '' : '.');
}

/** Text of the service's, with what stands in backquotes as code. */
export function marked(text) {
  return text.split('`').map((part, position) => {
    const node = document.createElement(position % 2 ? 'code' : 'span');
    node.textContent = part;
    return node;
  });
}

/** A rule as the service writes it, with no line broken inside a bound. */
export function bounds(rule) {
  return rule.split(/(?<= and )/).map((bound) => {
    const node = document.createElement('span');
    node.className = 'bound';
    node.textContent = bound;
    return node;
  });
}

/** What there is to say of an item, whatever became of it. */
export function told(item) {
  const answer = item.answer?.items[0];
  if (answer) {
    const code = answer.error?.code ?? answer.reason;
    const why = words(code) || words('rule');
    return { mark: answer.decision, word: answer.decision, why, rule: words(code) ? '' : answer.reason, detail: sentence(answer.error?.message ?? '') };
  }
  if (item.refusal) return { mark: 'refused', word: 'not judged', why: words(item.refusal.code), rule: '', detail: sentence(item.refusal.detail) };
  return { mark: 'waiting', word: item.state === 'asking' ? 'looking …' : 'waiting', why: '', rule: '', detail: '' };
}

/** One line of the list. */
export function row(item, isShown, show) {
  const node = copyOf('row');
  const button = find('button', node);
  dress(node, item);
  button.setAttribute('aria-pressed', String(isShown));
  button.addEventListener('click', show);
  return node;
}

/** The whole of one; `keyed` says whether it was asked with a key. */
export function result(item, keyed) {
  const node = copyOf('result');
  const { why, rule, detail } = dress(node, item);
  put(node, '.why', why, marked);
  put(node, '.rule', rule, bounds);
  put(node, '.detail', detail, marked);
  sight(node, item);
  figures(node, item);
  programs(node, item, keyed);
  return node;
}

function dress(node, item) {
  const all = told(item);
  node.classList.add(all.mark);
  find('use', node).setAttribute('href', `#mark-${all.mark}`);
  find('.word', node).textContent = all.word;
  find('.name', node).textContent = item.name;
  return all;
}

function put(node, selector, text, drawn) {
  const place = find(selector, node);
  if (text) place.replaceChildren(...drawn(text));
  else place.remove();
}

// --- The picture: covered unless the service called it safe.

function sight(node, item) {
  const picture = find('.picture', node);
  const isSafe = told(item).mark === 'safe';
  find('.far', node).hidden = Boolean(item.picture);
  node.classList.toggle('without-picture', !item.picture);
  if (!item.picture) {
    picture.remove();
    return;
  }
  picture.alt = `The picture ${item.name}`;
  picture.addEventListener('load', () => picture.classList.add('loaded'));
  picture.addEventListener('error', () => node.classList.add('broken'));
  picture.src = item.picture;
  node.classList.toggle('uncovered', isSafe);
  if (!isSafe) addCover(node);
}

function addCover(node) {
  const button = find('.uncover', node);
  const stage = find('.stage', node);
  let held = false;
  let kept = false;
  const paint = () => {
    node.classList.toggle('uncovered', held || kept);
    button.setAttribute('aria-pressed', String(kept));
  };
  const cover = () => { held = kept = false; paint(); };
  const release = () => { held = false; paint(); };
  stage.addEventListener('pointerdown', (event) => { if (event.button === 0) { held = true; paint(); } });
  for (const end of ['pointerup', 'pointercancel', 'pointerleave']) stage.addEventListener(end, release);
  stage.addEventListener('contextmenu', (event) => event.preventDefault()); // a long press would open it
  button.addEventListener('click', () => { kept = !kept; paint(); });
  node.addEventListener('cover', cover);
}

// --- Scores and facts.

function figures(node, item) {
  const answer = item.answer?.items[0];
  if (!answer) {
    for (const part of ['.figures', '.known']) find(part, node).remove();
    return;
  }
  const scores = [...bars(answer.scores, ''), ...bars(answer.witnesses, ' witness')];
  find(scores.length ? '.scoreless' : '.scores', node).remove();
  find('tbody', node)?.append(...scores);
  find('.known', node).append(...facts(item, answer).map(fact));
}

function bars(scores, role) {
  return Object.entries(scores ?? {}).sort((a, b) => b[1] - a[1]).map(([name, value]) => bar(name, value, role));
}

function bar(name, value, role) {
  const node = copyOf('score');
  const kind = document.createElement('span');
  kind.className = 'muted';
  kind.textContent = role;
  find('th', node).append(name, ...(role ? [kind] : []));
  find('td', node).textContent = value.toFixed(3);
  find('.filled', node).setAttribute('width', String(100 * Math.min(1, Math.max(0, value))));
  return node;
}

function facts(item, answer) {
  const { policy, policy_version: version, model } = item.answer;
  return [
    ['Score', answer.score === null ? null : `${answer.score.toFixed(3)}, to sort by`],
    ['File', file(item, answer.media)],
    ['Frames', frames(answer.media)],
    ['Policy', `${policy}, ${version}`],
    ['Remembered', answer.remembered ? 'yes, from what people said' : 'no'],
    ['Model', model],
    ['Took', took(item, answer.timings_ms), 'long'],
    ['SHA-256', answer.sha256, 'long'],
  ].filter(([, text]) => text);
}

function fact([name, text, width = '']) {
  const node = document.createElement('div');
  node.className = width;
  const [term, definition] = ['dt', 'dd'].map((tag) => document.createElement(tag));
  term.textContent = name;
  definition.textContent = text;
  node.append(term, definition);
  return node;
}

function file(item, media) {
  const told = [];
  if (media?.type) told.push(media.type.replace(/^image\//, '').toUpperCase());
  if (media?.width && media?.height) told.push(`${number.format(media.width)} × ${number.format(media.height)}`);
  if (item.file) told.push(weight(item.file.size));
  return told.join(', ');
}

/** Bytes, for people. */
export function weight(bytes) {
  for (const [unit, name] of [[1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']]) if (bytes >= unit) return `${size.format(bytes / unit)} ${name}`;
  return `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`;
}

function frames(media) {
  if (!media || media.frames < 2) return null;
  const sampled = media.sampled < media.frames ? `, of which ${number.format(media.sampled)} were judged` : '';
  const worst = media.worst_frame === null ? '' : `; the worst is number ${number.format(media.worst_frame + 1)}`;
  return `${number.format(media.frames)}${sampled}${worst}`;
}

function took(item, stages) {
  const { total, ...parts } = stages;
  const each = Object.entries(parts).map(([name, ms]) => `${name} ${number.format(ms)}`).join(', ');
  const all = `${number.format(item.tookMs)} ms in all`;
  return total === undefined ? all : `${number.format(total)} ms in the service${each ? ` (${each})` : ''}, ${all}`;
}

// --- For programs.

function programs(node, item, keyed) {
  const body = item.answer ?? item.refusal?.body;
  find('.shell pre', node).textContent = curl(item, item.policy, keyed);
  find('.keyed', node).hidden = !keyed;
  if (body) find('.raw pre', node).textContent = JSON.stringify(body, null, 2);
  else find('.raw', node).remove();
  for (const button of node.querySelectorAll('.copy')) button.addEventListener('click', () => copy(button));
}

async function copy(button) {
  const text = find('pre', button.parentNode);
  const before = button.dataset.words ??= button.textContent;
  button.textContent = (await copied(text)) ? 'Copied' : 'Marked: copy it with your keyboard';
  setTimeout(() => { button.textContent = before; }, 2500);
}

/** The clipboard is for pages over TLS and on this machine; elsewhere what is marked is copied, where the browser still does so. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(text);
    return document.execCommand('copy');
  }
}
