// One text beside its picture: words that were looked for, words that are unsure, and corrections.
import { ask, element, tell } from './page.js'

const place = document.querySelector('[data-results]')
const text = place.querySelector('[data-text]')
const part = name => text.querySelector(`[data-${name}]`)
const run = place.dataset.results
const hasPictures = 'pictures' in place.dataset
let shown, field

/** A name with what turns the direction of text made visible, as the templates write it. */
export const plain = name => name.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
  char => `\\u${char.charCodeAt(0).toString(16)}`)

/** A text in pieces, as elements. */
export const pieces = them => them.map(({ text: words, hit, unsure }) => hit ? element('mark', {}, plain(words))
  : unsure ? element('span', { class: 'unsure' }, plain(words)) : plain(words))

const inPath = name => name.split('/').map(encodeURIComponent).join('/')
const picture = (item, turn = 0, page = 0) =>
  `/runs/${run}/picture/${inPath(item)}?${new URLSearchParams({ ...(turn && { turn }), ...(page && { page }) })}`

/** Have the picture of an item ready. */
export function prepare(item) {
  if (hasPictures) new Image().src = picture(item)
}

/** Show a text and its picture. */
export function write(one) {
  if (field) stop()
  shown = one
  text.dataset.text = one.item
  text.querySelector('h2').textContent = plain(one.item)
  text.querySelector('pre').replaceChildren(...pieces(one.pieces))
  part('cut').hidden = !one.is_cut
  part('about').textContent = one.about
  if (part('undo')) part('undo').hidden = one.as_read === null
  if (!hasPictures) return
  const images = []
  for (let page = 1; page <= one.pages; page++) {
    const which = one.pages > 1 ? `, page ${page}` : ''
    images.push(element('img', { src: picture(one.item, one.turn, which && page), alt: `Picture of ${plain(one.item)}${which}`,
      loading: page > 1 && 'lazy' }))
  }
  place.querySelector('[data-picture] > div').replaceChildren(...images, ...boxes(one))
  place.querySelector('[data-picture] a').href = `/runs/${run}/original/${inPath(one.item)}`
}

function boxes({ page, boxes: them }) {
  if (!page) return []
  const drawn = (name, attributes) => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', name)
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
    return made
  }
  const over = drawn('svg', { viewBox: `0 0 ${page[0]} ${page[1]}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' })
  for (const { text: word, confidence, hit, ...at } of them) {
    const title = drawn('title', {})
    title.textContent = `${plain(word)}, ${confidence} %`
    const box = drawn('rect', { ...at, class: hit ? 'hit' : 'doubt' })
    box.append(title)
    over.append(box)
  }
  return [over]
}

/** Let a person correct the text. */
async function correct() {
  if (field || !text.dataset.text) return
  shown ??= await ask('GET', `/runs/${run}/text.json?${new URLSearchParams({ item: text.dataset.text })}`)
  if (shown.is_cut) return tell('This text is too long to be corrected here.')
  const before = text.querySelector('pre')
  field = element('textarea', { 'aria-label': 'The corrected text', rows: 20 })
  field.value = shown.pieces.map(piece => piece.text).join('')
  before.hidden = part('correct').hidden = true
  part('save').hidden = part('stop').hidden = false
  before.after(field)
  field.focus()
}

/** Leave the text as it was. */
function stop() {
  field.remove()
  field = undefined
  text.querySelector('pre').hidden = part('correct').hidden = false
  part('save').hidden = part('stop').hidden = true
}

/** Keep the corrected text; without one, what was read counts again. */
async function keep(corrected) {
  const item = text.dataset.text
  try {
    const one = await ask('PUT', `/api/runs/${run}/correction`, { item, text: corrected })
    if (text.dataset.text === item) write(one)
    tell(corrected === null ? 'What was read counts again.' : 'Saved.')
  } catch (error) {
    tell(error.message)
  }
}

if (part('correct')) {
  part('correct').addEventListener('click', correct)
  part('stop').addEventListener('click', stop)
  part('save').addEventListener('click', () => keep(field.value))
  part('undo').addEventListener('click', () => keep(null))
  document.addEventListener('keydown', event => {
    const isSave = (event.ctrlKey || event.metaKey) && event.key === 's'
    if (field && (isSave || event.key === 'Escape')) {
      event.preventDefault()
      if (isSave) keep(field.value)
      else stop()
    } else if (event.key === 'e' && !event.ctrlKey && !event.metaKey && !event.target.matches('input, textarea')) {
      event.preventDefault()
      correct()
    }
  })
}
