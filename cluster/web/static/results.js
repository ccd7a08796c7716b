// The texts of a run: a window of the list, search as one types, j and k.
import { ask, count, element, show, tell } from './page.js'
import { pieces, plain, prepare, write } from './text.js'

const ROW = 54, PAGE = 200, SPARE = 8, TYPING_MS = 120, AGAIN_MS = 3000
const place = document.querySelector('[data-results]')
const list = place.querySelector('[data-list]')
const field = document.querySelector('[type=search]')
const run = `/runs/${place.dataset.results}`
let q = field.value, found = Number(place.dataset.found), at = Number(place.dataset.at), item = place.dataset.item
let rows = new Map(), asking = new Set(), isGrowing = 'growing' in place.dataset, items = Number(place.dataset.items), turn = 0, drawn, typing

/** An address of this run, without what is empty. */
const address = (path, query) => `${run}/${path}?${new URLSearchParams(Object.entries(query).filter(([, it]) => it))}`

/** Put those rows into the list that can be seen. */
function draw() {
  const begin = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE)
  const end = Math.min(found, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE)
  if (drawn === `${begin} ${end} ${at}`) return
  drawn = `${begin} ${end} ${at}`
  const focused = list.contains(document.activeElement) && document.activeElement.dataset.n
  const links = []
  for (let n = begin; n < end; n++) {
    const row = rows.get(n)
    if (!row) want(n - n % PAGE)
    const link = element('a', { href: address('results', { q, item: row?.item }), 'data-n': n, 'aria-current': n === at && 'true' },
      element('span', {}, row ? plain(row.item) : '…'), element('small', {}, ...(row ? pieces(row.pieces) : [])))
    link.style.top = `${n * ROW}px`
    links.push(link)
  }
  const space = element('div', {}, ...links)
  space.style.height = `${found * ROW}px`
  list.replaceChildren(space)
  if (focused) list.querySelector(`[data-n="${focused}"]`)?.focus({ preventScroll: true })
}

/** Ask for rows from this one on. */
async function want(after) {
  if (asking.has(after)) return
  asking.add(after)
  const mine = turn
  try {
    const answer = await ask('GET', address('results.json', { q, after, most: PAGE }))
    if (mine === turn) take(answer)
  } catch (error) {
    tell(error.message)
  }
}

/** Keep rows that have come, and what is known of all. */
function take({ found: texts, is_whole: isWhole }) {
  if (!texts) return
  texts.rows.forEach((row, n) => rows.set(texts.after + n, row))
  found = texts.found
  items = texts.items
  isGrowing = !isWhole
  const told = q.trim() ? `${count(found)} of ${count(texts.items)}, ${Math.round(texts.searched_ms)} ms` : `${count(found)} texts`
  show('found', told + (isGrowing ? ' so far' : ''))
  drawn = ''
  draw()
}

/** Begin a list anew: for other words, or as more texts have come. */
async function again(after, then) {
  const mine = ++turn
  try {
    const answer = await ask('GET', address('results.json', { q, after, most: PAGE }))
    if (mine !== turn) return
    rows = new Map()
    asking = new Set([after])
    then(answer.found)
    take(answer)
  } catch (error) {
    tell(error.message)
  }
}

/** Look for the words in the field. */
function search() {
  q = field.value
  again(0, texts => {
    document.querySelector('[data-nothing]')?.remove()
    list.scrollTop = 0
    at = texts?.at ?? -1
    item = texts?.one?.item ?? ''
    if (texts?.one) write(texts.one)
    note()
  })
}

/** Have the address say what is shown. */
const note = () => history.replaceState(null, '', address('results', { q, item }))

/** Show the text of a row. */
async function select(n) {
  if (n < 0 || n >= found) return
  at = n
  const [top, seen] = [n * ROW, list.clientHeight]
  list.scrollTop = Math.min(Math.max(list.scrollTop, top + ROW - seen), top)
  draw()
  for (let tries = 0; !rows.has(n) && tries < 50; tries++) await new Promise(go => setTimeout(go, 50))
  if (at !== n || !rows.has(n)) return
  item = rows.get(n).item
  note()
  try {
    const one = await ask('GET', address('text.json', { q, item }))
    if (at !== n) return
    write(one)
    if (rows.has(n + 1)) prepare(rows.get(n + 1).item)
  } catch (error) {
    tell(error.message)
  }
}

/** While the run goes on, look whether there are more texts. */
function grow() {
  if (!isGrowing) return
  setTimeout(async () => {
    try {
      const seen = document.hidden ? null : await ask('GET', address('results.json', { most: 1 }))
      const top = Math.floor(list.scrollTop / ROW)
      if (seen && (seen.is_whole || seen.found?.items !== items)) await again(top - top % PAGE, texts => {
        texts?.rows.forEach((row, n) => { if (row.item === item) at = texts.after + n })
        if (!item && texts?.one) { item = texts.one.item; write(texts.one) }
      })
    } catch (error) {
      tell(error.message)
      if (error.status === 404) return
    }
    grow()
  }, AGAIN_MS)
}

list.addEventListener('scroll', () => requestAnimationFrame(draw), { passive: true })
list.addEventListener('click', event => {
  const n = event.target.closest('[data-n]')?.dataset.n
  if (n === undefined || event.ctrlKey || event.metaKey || event.shiftKey) return
  event.preventDefault()
  select(Number(n))
})
field.form.addEventListener('submit', event => { event.preventDefault(); search(); field.blur() })
field.addEventListener('input', () => {
  clearTimeout(typing)
  typing = setTimeout(search, TYPING_MS)
})
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  if (event.target === field && event.key === 'Escape') { event.preventDefault(); field.blur() } // else it is emptied
  if (event.target.matches('input, textarea')) return
  if (event.key === 'j') select(at + 1)
  if (event.key === 'k') select(at - 1)
})
list.classList.add('window')
if (at > 0) list.scrollTop = 0
draw()
if (at > 0) { list.scrollTop = at * ROW; draw() }
grow()
