// api.js - calls to the gateway: JSON requests and the live stream.

const DEMO_USER = { user_id: 1, name: 'Demo Customer' };
let session = JSON.parse(sessionStorage.getItem('session') || 'null');

export const user = () => (session ? session.user : DEMO_USER);
export const signedIn = () => session !== null;

function authorization() {
  return session ? { Authorization: `Bearer ${session.access_token}` } : {};
}

export class ApiError extends Error {
  constructor(problem, status, retryAfter) {
    super(problem.detail || problem.title || `The shop answered ${status}`);
    this.code = problem.code;
    this.status = status;
    this.retryAfter = Number(retryAfter) || 0; // seconds; a date counts as none
  }
}

// What an answer says, or the ApiError that it is.
async function read(answer) {
  const text = await answer.text();
  let data = {};
  try { data = text ? JSON.parse(text) : {}; } catch { data = { detail: 'The shop is not reachable' }; }
  if (!answer.ok) throw new ApiError(data, answer.status, answer.headers.get('Retry-After'));
  return data;
}

// Without the session: one that has ended is refused even where none is needed.
export async function callAsAnyone(method, path, body, headers = {}) {
  const init = { method, cache: 'no-store', headers: { ...headers } };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers['Content-Type'] = 'application/json';
  }
  return read(await fetch(`/api${path}`, init));
}

export const call = (method, path, body, headers = {}) =>
  callAsAnyone(method, path, body, { ...authorization(), ...headers });

export async function signIn(email, password) {
  session = await callAsAnyone('POST', '/auth/login', { email, password });
  sessionStorage.setItem('session', JSON.stringify(session));
}

export function signOut() {
  session = null;
  sessionStorage.removeItem('session');
}

const IN_DOUBT = 'The order may have gone through. Pressing Order again is safe: it will not be placed twice.';
const MAX_WAIT_S = 5;

const newKey = () => (crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`);

// These leave it open whether there is an order: the shop wants to be asked again, under the same key.
function isOpen(error) {
  return !(error instanceof ApiError) || error.status >= 500 || [408, 429].includes(error.status)
    || error.code === 'order_in_progress';
}

// These end a key for good.  Other refusals say nothing about an attempt that was sent before.
const isFinal = (error) => ['insufficient_stock', 'idempotency_key_reused'].includes(error.code);

// One order, under one key: a lost answer must not buy twice.  The key is kept until it is known how
// the order ended, also when the page is loaded again: who presses the button again asks about it.
export async function order(productId, quantity) {
  const body = { user_id: user().user_id, product_id: productId, quantity };
  const name = `order ${Object.values(body).join(' ')}`;
  const kept = sessionStorage.getItem(name);
  const key = kept || newKey();
  sessionStorage.setItem(name, key);
  let inDoubt = kept !== null;
  for (let attempt = 1; ; attempt++) {
    try {
      const placed = await call('POST', '/orders', body, { 'Idempotency-Key': key });
      sessionStorage.removeItem(name);
      return placed;
    } catch (error) {
      inDoubt ||= isOpen(error);
      if (isOpen(error) && attempt < 4) {
        await pause(Math.max(200 * 2 ** attempt, 1000 * Math.min(error.retryAfter || 0, MAX_WAIT_S)));
      } else if (inDoubt && !isFinal(error)) {
        throw new ApiError({ code: error.code, detail: `${error.message}. ${IN_DOUBT}` }, error.status);
      } else {
        sessionStorage.removeItem(name);
        throw error;
      }
    }
  }
}

export const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Server-Sent Events over fetch: EventSource cannot send an Authorization header.
// Calls on(event, data) for each event and state('on' | 'off' | 'denied', error) on changes, until stopped;
// the error is an ApiError if the shop has refused.
export function stream(path, on, state) {
  const stop = new AbortController();
  (async () => {
    for (let wait = 250; !stop.signal.aborted; wait = Math.min(wait * 2, 5000)) {
      let error = null;
      try {
        const answer = await fetch(`/api${path}`, { headers: authorization(), signal: stop.signal });
        if (!answer.ok) await read(answer);
        state('on', null);
        wait = 250;
        await readEvents(answer.body, on);
      } catch (failure) { error = failure; }
      if (stop.signal.aborted) return;
      const denied = error instanceof ApiError && [401, 403].includes(error.status);
      state(denied ? 'denied' : 'off', error);
      if (denied) return;
      await pause(wait);
    }
  })();
  return () => stop.abort();
}

async function readEvents(body, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop();
    blocks.forEach((block) => dispatch(block, on));
  }
}

function dispatch(block, on) {
  let event = 'message';
  let data = '';
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) event = line.slice(6).trim();
    if (line.startsWith('data:')) data += line.slice(5).trim();
  }
  if (data) on(event, JSON.parse(data));
}
