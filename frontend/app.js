// app.js - the page: catalog, own orders, live numbers.
import { call, callAsAnyone, order, pause, signIn, signOut, signedIn, stream, user } from './api.js';

const $ = (id) => document.getElementById(id);
const money = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD' });

// el('li', { class: 'x' }, 'text', child): text is never parsed as HTML.
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const clear = (...ids) => ids.forEach((id) => $(id).replaceChildren());

function notice(text, bad = false) {
  $('notice').textContent = text;
  $('notice').classList.toggle('bad', bad);
}

let visit = 0; // another with each sign-in and sign-out: answers to the one before are not shown

async function guarded(work) {
  const asked = visit;
  try { await work(); } catch (error) {
    if (asked === visit) failed(error);
  }
}

function failed(error) {
  if (error.status === 401) mustSignIn();
  notice(error.message, true);
}

// For what belongs to one customer.
async function ask(path, show) {
  const asked = visit;
  const answer = await call('GET', path);
  if (asked === visit) show(answer);
}

// ---- catalog ----

// Without it the browser asks for the exact state, which is gone while the database is away.
const MAY_BE_OLD = { 'Cache-Control': 'max-stale' };

let lists = 0; // asked for so far: only the answer to the last one is shown
let nextPage = null; // the query that goes on with the list that is shown

function productCard(product) {
  const id = product.product_id;
  const amount = el('input', { type: 'number', min: 1, max: 1000, value: 1, 'aria-label': `Quantity of ${product.name}` });
  const button = el('button', { type: 'button', 'data-testid': `order-${id}` }, 'Order');
  button.addEventListener('click', () => buy(product, Number(amount.value), button));
  if (!product.in_stock) button.disabled = true;
  return el('li', {},
    el('h3', {}, product.name),
    el('p', {}, product.description || product.category),
    el('div', { class: 'buy' }, el('strong', {}, money.format(product.price)), amount, button));
}

function searched() {
  const query = new URLSearchParams({ limit: 60 });
  if ($('q').value) query.set('q', $('q').value);
  if ($('category').value) query.set('category', $('category').value);
  return query;
}

async function loadCatalog(more = false) {
  const query = more ? nextPage : searched();
  const asked = ++lists;
  $('more').disabled = true;
  try {
    const page = await callAsAnyone('GET', `/products?${query}`, undefined, MAY_BE_OLD);
    if (asked === lists) showCatalog(page, query, more);
  } catch (error) {
    if (asked === lists) throw error;
  } finally {
    if (asked === lists) $('more').disabled = false;
  }
}

function showCatalog(page, query, more) {
  const cards = page.products.map(productCard);
  if (more) $('catalog').append(...cards); else $('catalog').replaceChildren(...cards);
  if (!more && cards.length === 0) $('catalog').append(el('li', {}, 'Nothing found.'));
  nextPage = new URLSearchParams(query);
  nextPage.set('cursor', page.next_cursor);
  $('more').hidden = !page.next_cursor;
  addCategories(page.products);
}

function addCategories(products) {
  const known = new Set([...$('category').options].map((option) => option.value));
  for (const { category } of products) {
    if (!known.has(category)) $('category').append(el('option', { value: category }, category));
    known.add(category);
  }
}

async function buy(product, quantity, button) {
  if (!signedIn() && demo === false) { askToSignIn(); return; }
  const asked = visit;
  button.disabled = true;
  await guarded(async () => {
    const placed = await order(product.product_id, quantity);
    if (asked !== visit) return;
    notice(`Order ${placed.order_id} placed: ${quantity} × ${product.name}, ${money.format(placed.total_price)}`);
    refresh(loadOrders);
    // The stream is for administrators; others see their new total by asking again.
    if (!live) [300, 1000, 3000].forEach((ms) => setTimeout(() => asked === visit && refresh(loadMine), ms));
  });
  button.disabled = false;
}

// That an order is placed stays on the page, whatever becomes of this.
const refresh = (load) => load().catch(() => {});

// ---- own orders ----

const loadOrders = () => ask(`/orders?user_id=${user().user_id}&limit=20`, showOrders);

async function loadMine() {
  try { await ask(`/analytics/users/${user().user_id}`, showMine); } catch (error) {
    // With very many customers the totals of some are not known: then the page shows none.
    if (error.code !== 'user_not_kept') throw error;
  }
}

const FOLLOW_MS = 2000;
let follower = null; // the visit that wants its figures once more
let following = false;

// Orders of others may come ten times a second; the last of them is asked about, too.
async function followMine() {
  follower = visit;
  if (following) return;
  following = true;
  while (follower === visit) {
    follower = null;
    await refresh(loadMine);
    await pause(FOLLOW_MS);
  }
  following = false;
}

function showOrders({ orders }) {
  $('orders').replaceChildren(...orders.map((one) => el('li', {},
    el('span', {}, `#${one.order_id} · ${one.items.map((i) => `${i.quantity} × ${i.product_id}`).join(', ')}`),
    el('span', {}, one.status === 'cancelled' ? 'cancelled ' : '', money.format(one.total_price)))));
}

function showMine(mine) {
  $('my-total').textContent = money.format(mine.total_spent);
  $('my-tier').textContent = mine.customer_tier;
}

// ---- live ----

function showTop({ top_users: users }) {
  const before = new Map([...$('top-users').children].map((row) => [row.dataset.testid, row.dataset.total]));
  $('top-users').replaceChildren(...users.slice(0, 10).map((one) => {
    const id = `top-user-${one.user_id}`;
    const changed = before.has(id) && before.get(id) !== String(one.total_spent);
    return el('tr', { 'data-testid': id, 'data-total': one.total_spent, class: changed ? 'fresh' : '' },
      el('td', {}, one.user_id === user().user_id ? `${one.user_id} (you)` : String(one.user_id)),
      el('td', {}, one.customer_tier),
      el('td', { class: 'num' }, String(one.total_orders)),
      el('td', { class: 'num', 'data-testid': 'total' }, money.format(one.total_spent)));
  }));
  const me = users.find((one) => one.user_id === user().user_id);
  if (me) showMine(me); else followMine();
}

const windows = new Map();

function showWindows(update) {
  for (const one of update.windows || [update]) windows.set(one.start, one);
  const rows = [...windows.values()].sort((a, b) => (a.start < b.start ? 1 : -1)).slice(0, 10);
  windows.clear();
  rows.forEach((one) => windows.set(one.start, one));
  $('windows').replaceChildren(...rows.map((one) => el('tr', {},
    el('td', {}, new Date(one.start).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }), one.final ? '' : ' …'),
    el('td', { class: 'num' }, String(one.orders)),
    el('td', { class: 'num' }, String(one.users)),
    el('td', { class: 'num' }, money.format(one.revenue)))));
}

function showSummary(summary) {
  const names = { total_orders: 'Orders', total_revenue: 'Revenue', total_users: 'Customers' };
  const rows = Object.entries(names).filter(([key]) => key in summary).map(([key, name]) => el('div', {},
    el('dt', {}, name),
    el('dd', {}, key === 'total_revenue' ? money.format(summary[key]) : String(summary[key]))));
  $('summary').replaceChildren(...rows);
}

const shows = { 'top-users': showTop, window: showWindows, windows: showWindows, summary: showSummary };
let stopStream = () => {};
let live = false;

function startStream() {
  const asked = visit;
  stopStream();
  stopStream = stream('/analytics/stream', (event, data) => shows[event]?.(data), (state, error) => {
    if (asked !== visit) return;
    $('live').textContent = { on: 'live', off: 'reconnecting', denied: 'for administrators' }[state];
    live = state === 'on';
    $('live').classList.toggle('on', live);
    if (state === 'denied') clear('summary', 'top-users', 'windows');
    if (!signedIn()) learn(state, error);
    else if (error?.status === 401) failed(error);
  });
}

// ---- sign in ----

let demo = null; // may a visitor act as the demo customer?  null: not known yet

// A 503 of these comes from behind the gateway's token check; others refuse everybody.
const BEHIND_THE_CHECK = ['unavailable', 'not_caught_up', 'too_many_streams'];

// The stream tells, for the gateway refuses a visitor before it asks a service whether it is there.
function learn(state, error) {
  const before = demo;
  if (error?.status === 401) demo = false;
  if (state === 'on' || BEHIND_THE_CHECK.includes(error?.code)) demo = true;
  if (demo !== before) showCustomer();
}

function showCustomer() {
  const known = signedIn() || demo;
  $('who').textContent = known ? user().name : '';
  $('sign-in').textContent = signedIn() ? 'Sign out' : 'Sign in';
  if (known) guarded(() => Promise.all([loadOrders(), loadMine()]));
}

// Begins anew, as whoever is signed in now.
function enter() {
  visit++;
  clear('orders', 'my-tier', 'summary', 'top-users', 'windows');
  windows.clear();
  $('my-total').textContent = '–';
  notice('');
  showCustomer();
  startStream();
  if (!$('catalog').hasChildNodes()) guarded(() => loadCatalog());
}

function askToSignIn() {
  if (!$('sign-in-dialog').open) $('sign-in-dialog').showModal();
}

// The session has ended, or the shop serves no visitors after all.
function mustSignIn() {
  if (signedIn()) askToSignIn(); else demo = false;
  signOut();
  enter();
}

$('search').addEventListener('submit', (event) => { event.preventDefault(); guarded(() => loadCatalog()); });
$('category').addEventListener('change', () => guarded(() => loadCatalog()));
$('more').addEventListener('click', () => guarded(() => loadCatalog(true)));
$('sign-in').addEventListener('click', () => {
  if (!signedIn()) { askToSignIn(); return; }
  signOut();
  enter();
});
$('sign-in-cancel').addEventListener('click', () => $('sign-in-dialog').close());
$('sign-in-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  try {
    await signIn(form.get('email'), form.get('password'));
    $('sign-in-dialog').close();
    event.target.reset();
    $('sign-in-error').textContent = '';
    enter();
    notice(`Signed in as ${user().name}`);
  } catch (error) { $('sign-in-error').textContent = error.message; }
});

enter();
