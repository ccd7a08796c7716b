// Who does what in a run: a strip a node. The last minute moves on by itself; longer spans are asked for again.
import { ask, duration } from './page.js'

const HIGH = 13, WIDE = 1000, AGAIN_MS = 5000, MOVE_MS = 1000
const SVG = 'http://www.w3.org/2000/svg'
const box = document.querySelector('[data-timeline]')
const span = Number(box.dataset.span)
const strips = box.querySelector('[data-strips]')
const [nothing, told] = [box.querySelector('[data-nothing]'), box.querySelector('[data-told]')]
const shown = new Map() // node -> what its strip holds
let clock // seconds of the run, and of this page, when they were last compared
let isMoving = false, askedAt = 0

/** An element of an SVG, with a text that a pointer is told. */
function shape(attributes, about) {
  const made = document.createElementNS(SVG, 'rect')
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  if (about) made.appendChild(document.createElementNS(SVG, 'title')).textContent = about
  return made
}

/** The strip of a node; made where there is none. */
function stripOf(node) {
  if (shown.has(node)) return shown.get(node)
  let place = [...strips.children].find(one => one.dataset.node === node)
  if (!place) {
    place = document.querySelector('[data-strip]').content.firstElementChild.cloneNode(true)
    place.dataset.node = node
    place.querySelector('b').textContent = node
    strips.insertBefore(place, [...strips.children].find(one => one.dataset.node > node) ?? null)
  }
  const svg = place.querySelector('svg')
  svg.replaceChildren()
  const strip = { place, svg, rows: 0, ids: new Map(), group: svg.appendChild(document.createElementNS(SVG, 'g')) }
  shown.set(node, strip)
  nothing.hidden = true
  return strip
}

/** Make room for a row. */
function grow(strip, row) {
  if (row < strip.rows) return
  strip.rows = row + 1
  strip.svg.setAttribute('viewBox', `0 0 ${WIDE} ${strip.rows * HIGH}`)
  strip.svg.setAttribute('height', strip.rows * HIGH)
}

const about = piece => `${piece.first === piece.last ? `chunk ${piece.first}` : `chunks ${piece.first} to ${piece.last}`}: `
  + `${piece.items} items${piece.missing ? `, ${piece.missing} missing` : ''}, ${(piece.end - piece.begin).toFixed(1)} s`

/** Add a piece; x is in seconds of the run, so that the strip is moved as a whole. */
function add(piece) {
  const strip = stripOf(piece.node)
  if (strip.ids.has(piece.id)) return
  grow(strip, piece.row)
  const kind = piece.missing ? 'x' : piece.first % 2 ? 'c2' : 'c'
  const width = Math.max(piece.end - piece.begin - 0.06, 0.05)
  const rect = shape({ class: kind, x: piece.begin, width, y: piece.row * HIGH + (piece.missing ? 0 : 2), height: piece.missing ? HIGH : 10 }, about(piece))
  strip.ids.set(piece.id, { rect, end: piece.end })
  strip.group.append(rect)
}

/** What is worked on, and what went wrong. */
function addOthers({ working, marks }) {
  for (const { svg } of shown.values()) for (const rect of svg.querySelectorAll('.now')) rect.remove()
  for (const one of working) {
    const strip = stripOf(one.node)
    grow(strip, one.row)
    const rect = shape({ class: 'now', x: one.begin, width: 1, y: one.row * HIGH + 2, height: 10 }, `${one.about}: now`)
    rect.dataset.begin = one.begin
    strip.group.append(rect)
  }
  for (const mark of marks) {
    const strip = shown.get(mark.node)
    if (!strip || strip.ids.has(`mark ${mark.at}`)) continue
    const rect = shape({ class: 'mark', x: mark.at, width: 0.15, y: 0, height: 9999 }, mark.about)
    strip.ids.set(`mark ${mark.at}`, { rect, end: mark.at })
    strip.group.append(rect)
  }
}

/** Move all strips to this moment, and drop what is over. */
function move() {
  if (!clock) return
  const now = clock.run + (performance.now() - clock.page) / 1000
  const begin = now - span
  for (const { group, ids } of shown.values()) {
    group.setAttribute('transform', `scale(${WIDE / span} 1) translate(${-begin} 0)`)
    for (const rect of group.querySelectorAll('.now')) rect.setAttribute('width', Math.max(now - rect.dataset.begin, 0.1))
    for (const [id, { rect, end }] of ids) {
      if (end < begin) { rect.remove(); ids.delete(id) }
    }
  }
}

/** Draw a timeline that the server has made. */
function draw(time) {
  shown.clear()
  const width = Math.max(time.end - time.begin, 0.001)
  for (const one of time.strips) {
    const strip = stripOf(one.node)
    one.pieces.forEach(add)
    grow(strip, one.rows - 1)
  }
  if (!span) {
    [...box.querySelectorAll('[data-axis] span')].forEach((label, part, all) => { label.textContent = duration(width * part / (all.length - 1)) })
  }
  addOthers({ working: time.strips.flatMap(one => one.now), marks: time.strips.flatMap(one => one.marks) })
  for (const { group } of shown.values()) {
    group.setAttribute('transform', `scale(${WIDE / width} 1) translate(${-time.begin} 0)`)
    for (const rect of group.querySelectorAll('.now')) rect.setAttribute('width', Math.max(time.end - rect.dataset.begin, 0.1))
  }
}

/** News of the run. */
export async function news({ whole, now, status, figures, pieces, working, marks }) {
  for (const place of strips.children) {
    const why = figures.held[place.dataset.node] ?? ''
    const text = place.querySelector('[data-held]')
    if (text.textContent !== why) text.textContent = why
  }
  if (span !== 60) {
    if (performance.now() - askedAt < AGAIN_MS && status.state === 'running') return
    askedAt = performance.now()
    await ask('GET', `${box.dataset.timeline}?span=${span}`).then(draw).catch(() => {})
    return
  }
  if (whole) shown.clear()
  clock = { run: now, page: performance.now() }
  pieces.forEach(add)
  addOthers({ working, marks })
  move()
  if (!isMoving) { isMoving = true; setInterval(move, MOVE_MS) }
  if (status.state !== 'running') clock = undefined
}

box.addEventListener('pointerover', event => { told.textContent = event.target.querySelector?.(':scope > title')?.textContent ?? '' })
document.addEventListener('keydown', event => {
  const chosen = box.querySelectorAll('.tabs a')[['1', '2', '3'].indexOf(event.key)]
  if (chosen && !event.ctrlKey && !event.metaKey && !event.altKey && !document.activeElement.matches('input, select, textarea')) chosen.click()
})
