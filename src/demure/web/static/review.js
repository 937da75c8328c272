// The review page: shows one item, has the next one ready, and counts nothing as judged before the server said so.
'use strict';

(() => {
  const LEAST_LOOK_MS = 300; // a second key press so soon was meant for the item before
  const LOOK_AGAIN_MS = 20_000; // when nothing waits
  const PATIENCE_MS = 15_000; // for one answer
  const IDLE_MS = 10 * 60_000; // without a verdict: that was a break
  const WORDS = { adult: 'Judged adult.', safe: 'Judged safe.', skip: 'Passed on.', escalate: 'Escalated.', undo: 'Taken back.' };

  const find = (selector, within = document) => within.querySelector(selector);
  const desk = find('#desk');
  const csrf = find('meta[name="csrf-token"]').content;
  const [place, bar, before, notice, said, tastes] = ['#place', '#bar', '#before', '#notice', '#said', '#tastes'].map((s) => find(s));

  let shown = null; // the item on the page
  let ahead = []; // those that come next, their pictures loading
  let judged = []; // {id, version, number}, the last one last
  let number = 0; // of items shown
  let shownAt = 0;
  let busy = false;
  let unsent = null; // what the server has not taken yet
  let line = Promise.resolve();

  // --- Talking to the server, one request after the other: a lease made longer changes the version that a verdict names.

  class Refusal extends Error {
    constructor(status) {
      super(`status ${status}`);
      this.status = status;
    }
  }

  async function post(path, body) {
    const headers = { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf, Accept: 'application/problem+json' };
    const answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(PATIENCE_MS) });
    const text = await answer.text();
    if (!answer.ok) throw new Refusal(answer.status);
    return text;
  }

  function inTurn(work) {
    const done = line.then(work);
    line = done.catch(() => {});
    return done;
  }

  // --- Items.

  function parse(html) {
    const template = document.createElement('template');
    template.innerHTML = html;
    return document.importNode(template.content.firstElementChild, true); // from here on its picture loads
  }

  function watch(item) {
    const picture = find('.picture', item);
    if (!picture) return item;
    const loaded = () => { picture.classList.add('loaded'); item.classList.add('seen'); tell(); };
    picture.addEventListener('load', loaded);
    picture.addEventListener('error', () => { item.classList.add('broken'); tell(); });
    if (picture.complete) picture.dispatchEvent(new Event(picture.naturalWidth ? 'load' : 'error'));
    return item;
  }

  function show(item) {
    cover();
    shown = item;
    shownAt = performance.now();
    setTimeout(tell, LEAST_LOOK_MS);
    if (item && !item.dataset.number) item.dataset.number = ++number;
    if (item) find('.number', item).textContent = `Item ${item.dataset.number}`;
    if (item && item.parentNode !== place) place.replaceChildren(item);
    if (!item) place.replaceChildren();
    find('#empty').hidden = Boolean(item);
    tell();
  }

  function advance() {
    show(ahead.shift() || null);
    (shown ? find('.stage', shown) : find('#main')).focus({ preventScroll: true });
    fill();
    return shown ? describe(shown) : 'Nothing waits.';
  }

  function describe(item) {
    const facts = [...item.querySelectorAll('.facts .badge, .facts li')].map((fact) => fact.textContent.trim());
    return `Item ${item.dataset.number}. ${facts.join(', ')}.`;
  }

  function fill() {
    inTurn(async () => {
      if (ahead.length) return;
      const html = await post('/review/next', { have: [shown, ...ahead].filter(Boolean).map((item) => item.dataset.id) });
      if (!html) return;
      const item = parse(html);
      const same = [shown, ...ahead].find((other) => other?.dataset.id === item.dataset.id);
      if (same) { // its lease had ended, nobody wanted it, and it came back as another version
        same.dataset.version = item.dataset.version;
        fill();
        return;
      }
      ahead.push(watch(item));
      if (!shown) say(advance());
    }).catch((problem) => { if (!shown || problem.status === 401) explain(problem, 'The next item could not be fetched.', fill); });
  }

  // --- What the reviewer does.

  const isReady = () => Boolean(shown) && !busy && !unsent && performance.now() - shownAt >= LEAST_LOOK_MS;
  const isSeen = () => isReady() && shown.classList.contains('seen');

  function act(what, more = {}) {
    if (what === 'undo') return judged.length && !busy && !unsent ? send({ what, item: judged.at(-1), more }) : say('Nothing to undo.');
    const wanted = what === 'adult' || what === 'safe' ? isSeen() : isReady();
    return wanted ? send({ what, item: shown.dataset, more }) : undefined;
  }

  async function send(job) {
    const { what, item, more } = job;
    const verdict = what === 'adult' || what === 'safe' ? { verdict: what } : {};
    busy = true;
    tell();
    let html;
    try {
      html = await inTurn(() => post(`/review/${item.id}/${verdict.verdict ? 'settle' : what}`, { version: Number(item.version), ...verdict, ...more }));
    } catch (problem) {
      busy = false;
      fail(job, problem);
      return;
    }
    busy = false;
    unsent = null;
    notice.replaceChildren();
    if (what === 'undo') takeBack(html);
    else pass(what, html);
  }

  function pass(what, html) {
    const was = shown.dataset;
    if (html) {
      const thought = parse(html);
      before.replaceChildren(thought);
      if (thought.dataset.id) judged.push({ id: thought.dataset.id, version: thought.dataset.version, number: was.number });
      for (const words of thought.querySelectorAll('.number')) words.textContent = `Item ${was.number}`;
      if (matchMedia('(max-width: 60rem)').matches && thought.matches('details')) thought.open = false;
    }
    if (what !== 'skip') count();
    say(`${WORDS[what]}${what === 'adult' || what === 'safe' ? ' Undo with U.' : ''} ${advance()}`);
  }

  function takeBack(html) {
    const item = watch(parse(html));
    item.dataset.number = judged.pop().number;
    if (shown) ahead.unshift(shown);
    before.replaceChildren();
    ahead.unshift(item);
    say(`${WORDS.undo} ${advance()}`);
  }

  function fail(job, problem) {
    const gone = problem.status === 409 || problem.status === 404;
    if (gone && job.what === 'undo') {
      judged.pop();
      explain(problem, 'This verdict can no longer be taken back.');
    } else if (gone) {
      explain(problem, `Not recorded: somebody else was first, or item ${job.item.number} is not yours any more. ${advance()}`);
    } else if (problem.status === 401) {
      explain(problem);
    } else if (problem.status && problem.status < 500) {
      explain(problem, 'Not recorded: the server refused it. Load this page anew.');
    } else {
      unsent = job;
      explain(problem, `“${job.what}” for item ${job.item.number} has not reached the server.`, () => send(job));
    }
    tell();
  }

  // --- What the page says.

  function say(words) {
    said.textContent = words;
  }

  function explain(problem, words, again) {
    const out = problem.status === 401;
    const text = document.createElement('p');
    text.className = 'note bad';
    text.append(out ? 'You are signed out; nothing more is recorded. ' : words);
    if (out || again) {
      const way = document.createElement(out ? 'a' : 'button');
      if (out) way.href = '/review/sign-in';
      else way.addEventListener('click', () => { notice.replaceChildren(); again(); });
      way.textContent = out ? 'Sign in again' : 'Send again';
      text.append(' ', way);
      notice.replaceChildren(text);
      way.focus();
    } else {
      notice.replaceChildren(text);
    }
  }

  function tell() {
    desk.dataset.state = busy ? 'busy' : unsent ? 'unsent' : !shown ? 'empty' : isSeen() ? 'ready' : 'waiting';
    // The moment in which a key does not count yet is too short to be shown.
    const can = { adult: shown?.classList.contains('seen'), safe: shown?.classList.contains('seen'), uncover: shown, skip: shown, escalate: shown, undo: judged.length };
    for (const button of bar.children) button.disabled = Boolean(unsent) || !can[button.dataset.do];
  }

  // --- Covered and uncovered.

  const open = { held: false, kept: false };

  function paint() {
    shown?.classList.toggle('uncovered', open.held || open.kept);
    find('[data-do="uncover"]').setAttribute('aria-pressed', String(open.kept));
  }

  function uncover(change) {
    Object.assign(open, change);
    paint();
  }

  const cover = () => uncover({ held: false, kept: false });

  function frame(button) {
    const picture = find('.picture', shown);
    picture.src = button.dataset.src;
    picture.alt = button.dataset.alt;
    for (const each of find('.strip', shown).children) each.setAttribute('aria-pressed', String(each === button));
    button.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    say(button.dataset.alt);
  }

  function turn(by) {
    const frames = [...(find('.strip', shown || place)?.children || [])];
    const next = frames[frames.findIndex((each) => each.getAttribute('aria-pressed') === 'true') + by];
    if (next) frame(next);
  }

  // --- How it looks.

  function dress() {
    desk.style.setProperty('--blur', `${tastes.blur.value}px`);
    desk.classList.toggle('coloured', !tastes.grey.checked);
    document.documentElement.classList.toggle('light', tastes.light.checked);
  }

  function keepTastes() {
    const kept = { blur: Number(tastes.blur.value), grey: tastes.grey.checked, light: tastes.light.checked, keys: tastes.keys.checked, order: tastes.order.value };
    inTurn(() => post('/review/preferences', kept)).catch((problem) => explain(problem, 'Your choice could not be kept; it holds until this page is loaded anew.'));
  }

  // --- A break.

  const restMs = Number(desk.dataset.breakMinutes) * 60_000;
  const work = () => JSON.parse(sessionStorage.getItem('work') || 'null') || { since: Date.now(), last: Date.now(), judged: 0 };

  function count() {
    const now = Date.now();
    const past = work();
    const still = now - past.last < IDLE_MS ? past : { since: now, judged: 0 };
    sessionStorage.setItem('work', JSON.stringify({ since: still.since, last: now, judged: still.judged + 1 }));
    remind();
  }

  function remind() {
    const { since, last, judged: items } = work();
    const rest = find('#rest');
    if (!restMs || !rest.hidden || !items || last - since < restMs) return;
    const done = document.createElement('button');
    done.type = 'button';
    done.className = 'quiet';
    done.textContent = 'Close';
    done.addEventListener('click', () => {
      sessionStorage.removeItem('work');
      rest.hidden = true;
      find('#main').focus({ preventScroll: true });
    });
    rest.hidden = false;
    rest.replaceChildren(`Time for a break? You have judged ${items} ${items === 1 ? 'item' : 'items'} in ${Math.round((last - since) / 60_000)} min. `, done);
  }

  // --- The lease.

  function hold() {
    if (document.hidden || unsent) return;
    for (const item of [shown, ...ahead].filter(Boolean)) {
      inTurn(async () => {
        if (unsent || (item !== shown && !ahead.includes(item))) return;
        const { version } = JSON.parse(await post(`/review/${item.dataset.id}/hold`, {}));
        item.dataset.version = version;
      }).catch((problem) => {
        if (problem.status === 401) explain(problem);
        if (problem.status !== 409 && problem.status !== 404) return;
        ahead = ahead.filter((other) => other !== item);
        if (item === shown) explain(problem, `Somebody else has item ${item.dataset.number} now. ${advance()}`);
      });
    }
  }

  // --- Hands.

  const help = find('#help');
  const escalation = find('#escalation');

  function ask(dialog) {
    cover();
    dialog.returnValue = '';
    dialog.showModal();
  }

  const DEEDS = {
    adult: () => act('adult'),
    safe: () => act('safe'),
    skip: () => act('skip'),
    undo: () => act('undo'),
    uncover: () => shown && uncover({ kept: !open.kept }),
    escalate: () => isReady() && ask(escalation),
    help: () => ask(help),
  };
  const KEYS = { a: 'adult', s: 'safe', k: 'skip', e: 'escalate', u: 'undo', r: 'uncover', '?': 'help' };

  escalation.addEventListener('close', () => {
    const note = find('#why');
    if (escalation.returnValue === 'escalate') act('escalate', { note: note.value });
    note.value = '';
  });

  document.addEventListener('keydown', (event) => {
    const at = event.target.closest('input, textarea, select, button, a, summary, dialog');
    if (event.ctrlKey || event.altKey || event.metaKey || find('dialog[open]') || at?.matches('textarea, select, [type="text"]')) return;
    if (event.key === ' ' && !at) {
      event.preventDefault(); // or the page scrolls
      if (shown && !event.repeat) uncover({ held: true });
    } else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
      if (!at?.matches('input')) turn(event.key === 'ArrowLeft' ? -1 : 1);
    } else if (tastes.keys.checked && !event.repeat && (!event.shiftKey || event.key === '?')) {
      DEEDS[KEYS[event.key.toLowerCase()]]?.();
    }
  });
  document.addEventListener('keyup', (event) => { if (event.key === ' ') uncover({ held: false }); });

  desk.addEventListener('click', (event) => {
    const button = event.target.closest('[data-do], .strip button');
    if (button?.dataset.do) DEEDS[button.dataset.do]();
    else if (button) frame(button);
  });
  place.addEventListener('pointerdown', (event) => { if (event.button === 0 && event.target.closest('.stage')) uncover({ held: true }); });
  for (const end of ['pointerup', 'pointercancel']) document.addEventListener(end, () => uncover({ held: false }));
  place.addEventListener('contextmenu', (event) => event.preventDefault()); // a long press would open it

  addEventListener('blur', cover);
  document.addEventListener('visibilitychange', () => { if (document.hidden) cover(); else hold(); });
  addEventListener('beforeunload', (event) => { if (unsent) event.preventDefault(); });
  addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });
  tastes.addEventListener('input', dress);
  tastes.addEventListener('change', keepTastes);

  dress();
  show(place.firstElementChild && watch(place.firstElementChild));
  if (shown) find('.stage', shown).focus({ preventScroll: true });
  fill();
  setInterval(hold, Number(desk.dataset.leaseS) * 1000 / 3);
  setInterval(() => { if (!shown && !document.hidden) fill(); }, LOOK_AGAIN_MS);
})();
