// Asks the service. What comes back is an answer, or a Refusal that says why there is none and when to ask again.

const PATIENCE_MS = 120_000; // for a large file over a slow line, its fetch and its turn
const MODERATE = '/v1/moderate';

// Until something changes, the next question would be answered alike: those that wait go on waiting.
const FOR_ALL = new Set(['key_required', 'not_permitted', 'rate_limited', 'overloaded', 'timed_out', 'storage_unavailable', 'internal_error', 'no_answer', 'too_slow']);

// Of these the picture may be the cause: where it comes to that again, the others go on.
const PERHAPS_ITS_OWN = new Set(['timed_out', 'internal_error', 'too_slow']);

export class Refusal extends Error {
  /** `code` is the problem document's, or one of ours; `detail` is for people; `waitS` is the service's wish. */
  constructor(code, { status = 0, detail = '', waitS = null, body = null } = {}) {
    super(code);
    Object.assign(this, { code, status, detail, waitS, body });
  }

  get mayBeItsOwn() {
    return PERHAPS_ITS_OWN.has(this.code);
  }

  get stopsAll() {
    return FOR_ALL.has(this.code);
  }
}

/** Those that may be named, the default first. */
export async function policies(key) {
  const found = await ask('/v1/policies', {}, key);
  return found.sort((a, b) => Number(b.default) - Number(a.default));
}

/** `item` has a `file` or a `url`; an empty policy is the service's default. The service is asked to keep nothing. */
export async function judge(item, policy, key) {
  const body = item.file ? await form(item.file, policy) : json({ ...asked(item.url, policy), keep: false });
  return ask(MODERATE, { method: 'POST', ...body }, key);
}

/** What asks the same in a shell, as a site would: what it is answered is kept. */
export function curl(item, policy, keyed) {
  const words = ['curl'];
  if (keyed) words.push('--header "Authorization: Bearer $DEMURE_KEY"');
  if (item.file) {
    words.push(`--form ${quoted(`file=@${named(item.name)}`)}`);
    if (policy) words.push(`--form ${quoted(`policy=${policy}`)}`);
  } else {
    words.push(`--json ${quoted(json(asked(item.url, policy)).body)}`);
  }
  words.push(quoted(location.origin + MODERATE));
  return words.join(' \\\n  ');
}

async function form(file, policy) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Refusal('unreadable_file');
  }
  const body = new FormData();
  body.append('file', file);
  body.append('keep', 'false');
  if (policy) body.append('policy', policy);
  return { body };
}

const asked = (url, policy) => ({ items: [{ url }], ...(policy ? { policy } : {}) });
const json = (content) => ({ body: JSON.stringify(content), headers: { 'Content-Type': 'application/json' } });

async function ask(path, options, key) {
  const headers = { Accept: 'application/json', ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let answer;
  let body;
  try {
    // A key is for this service alone: it follows nobody elsewhere.
    answer = await fetch(path, { ...options, headers, cache: 'no-store', redirect: 'error', signal: AbortSignal.timeout(PATIENCE_MS) });
    body = parsed(await answer.text());
  } catch (error) {
    throw new Refusal(error.name === 'TimeoutError' ? 'too_slow' : 'no_answer');
  }
  if (answer.ok && body !== null) return body;
  throw refused(answer, body);
}

function refused(answer, body) {
  const wait = answer.headers.get('Retry-After');
  const told = { status: answer.status, waitS: /^\d{1,6}$/.test(wait) ? Number(wait) : null, body };
  if (typeof body?.code === 'string') return new Refusal(body.code, { ...told, detail: String(body.detail) });
  return new Refusal('no_problem', { ...told, detail: `it answered with status ${answer.status}` });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** One word of a POSIX shell. */
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** As curl reads a file's name in a form: what stands in double quotes may hold commas and semicolons. */
const named = (name) => (/[,;"\\]/.test(name) ? `"${name.replace(/["\\]/g, '\\$&')}"` : name);
