// Of every page: light or dark, keys, buttons and forms that ask the API, and live data.

const root = document.documentElement
const find = selector => document.querySelector(selector)
const banner = find('[data-connection]')
const toast = find('[data-toast]')
const inField = element => element.matches('input, select, textarea, [contenteditable]')
const TOAST_MS = 8000, AGAIN_MS = 1000, MOST_AGAIN_MS = 30_000, BUSY_S = 5, TRIES = 3

/** What is wrong, of an answer: an Error with it in words, and with its `status` and the `field` that is wrong. */
async function problem(answer) {
  const { detail, field } = await answer.json().catch(() => ({}))
  return Object.assign(new Error(detail ?? `it answered ${answer.status}`), { status: answer.status, field })
}

/** Ask the API. Gives what it answered, undefined for nothing; throws what `problem` makes of its answer. */
export async function ask(method, address, body) {
  const headers = body === undefined ? {} : { 'Content-Type': 'application/json' }
  let answer
  try {
    answer = await fetch(address, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
  } catch {
    throw new Error('the page does not answer: is `cluster web` still running?')
  }
  if (answer.status === 401) location.reload() // the door at this address says what to do
  if (!answer.ok) throw await problem(answer)
  return answer.status === 204 ? undefined : answer.json()
}

/** Make an element: its text and children are never read as HTML. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, '')
    else if (value !== false && value != null) made.setAttribute(key, value)
  }
  made.append(...children)
  return made
}

/** A count as the templates write it. */
export const count = number => number == null ? '?' : number.toLocaleString('en', { maximumFractionDigits: 0 })

/** Seconds: "0.4 s", "1:32 min", "2:05 h"; "?" for what is not known. */
export function duration(seconds) {
  if (seconds == null) return '?'
  if (seconds < 60) return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`
  const minutes = Math.floor(seconds / 60)
  const two = number => String(Math.floor(number)).padStart(2, '0')
  return minutes < 60 ? `${minutes}:${two(seconds % 60)} min` : `${Math.floor(minutes / 60)}:${two(minutes % 60)} h`
}

/** "2.6 GB" */
export function size(bytes) {
  for (const unit of ['bytes', 'kB', 'MB', 'GB']) {
    if (bytes < 1000) return `${unit === 'bytes' || bytes >= 100 ? bytes.toFixed(0) : bytes.toFixed(1)} ${unit}`
    bytes /= 1000
  }
  return `${bytes.toFixed(1)} TB`
}

/** Put a text where the template has `data-show=name`. */
export function show(name, text) {
  for (const place of document.querySelectorAll(`[data-show="${name}"]`)) {
    if (place.textContent !== String(text)) place.textContent = text
  }
}

/** Change a pill: `place` is the element or its `data-show`. */
export function showState(place, state) {
  const pill = typeof place === 'string' ? find(`[data-show="${place}"]`) : place
  if (pill.dataset.state !== state) pill.dataset.state = pill.textContent = state
}

/** A message of ours as nodes: what stands between ` ` is code. */
export const marked = text => text.split('`').map((part, at) => at % 2 ? element('code', {}, part) : part)

/** Say what went wrong, for some seconds, also to readers of the screen. */
export function tell(text) {
  toast.replaceChildren(...marked(text))
  toast.hidden = false
  clearTimeout(tell.timer)
  tell.timer = setTimeout(() => { toast.hidden = true }, TOAST_MS)
}

/** Ask a person; gives whether they agreed. */
export function confirmed(text, yes = 'Yes, do it') {
  const dialog = element('dialog', { 'aria-label': 'Please confirm' }, element('p', {}, text),
    element('form', { method: 'dialog', class: 'row' }, element('button', { value: '', autofocus: true }, 'No'),
      element('button', { value: 'yes', class: 'danger' }, yes)))
  document.body.append(dialog)
  dialog.showModal()
  return new Promise(resolve => dialog.addEventListener('close', () => {
    resolve(dialog.returnValue === 'yes')
    dialog.remove()
  }))
}

/** Say that nothing is heard, and since when; with no text, that all is well again. */
export function tellConnection(text) {
  banner.hidden = !text
  banner.replaceChildren(...marked(text ?? ''))
  root.classList.toggle('away', Boolean(text))
}

/** Why events of an address are refused for good; undefined where they may be heard later. */
async function refusal(address, heardAt) {
  const asking = new AbortController()
  const { status } = await fetch(address, { signal: asking.signal }).catch(() => ({}))
  asking.abort()
  const asOf = `This is as of ${heardAt.toLocaleTimeString()}`
  if (status === 401) return `${asOf}, as you are no longer let in: load this page again, it says what to do.`
  if ([403, 404].includes(status)) return `${asOf}, as it was removed or is no longer shown to you: ask its owner, or go to another page.`
}

/** Hear events of an address while the page is shown, or `stays()`; `on`: the name of an event -> what is done with its data. */
export function hear(address, on, stays = () => false) {
  let source, timer, refused = 0, isOver = false
  let heardAt = new Date()
  const lost = () => tellConnection(`Not connected, last heard ${heardAt.toLocaleTimeString()}.`)
  const close = () => { clearTimeout(timer); source?.close(); source = null }
  const end = () => { isOver = true; close() }
  const open = () => {
    if (source || isOver || (document.hidden && !stays())) return
    source = new EventSource(address)
    for (const [name, act] of Object.entries(on)) {
      source.addEventListener(name, event => {
        heardAt = new Date()
        refused = 0
        tellConnection()
        act(JSON.parse(event.data), end)
      })
    }
    source.addEventListener('problem', lost)
    source.onerror = async () => {
      lost()
      if (source?.readyState !== EventSource.CLOSED) return // the browser connects again by itself
      close()
      const why = await refusal(address, heardAt)
      if (why) { end(); tellConnection(why) } else timer = setTimeout(open, Math.min(AGAIN_MS * 2 ** refused++, MOST_AGAIN_MS))
    }
  }
  document.addEventListener('visibilitychange', () => document.hidden && !stays() ? close() : open())
  open()
}

/** Do what a button or a form asks for, then show what came of it. */
async function act(asker, address, body) {
  const { ask: question, yes, method, then } = asker.dataset
  if (question && !await confirmed(question, yes)) return
  asker.disabled = true
  try {
    const answer = await ask(method ?? 'POST', address, body)
    if (asker.dispatchEvent(new CustomEvent('done', { bubbles: true, cancelable: true, detail: answer }))) {
      if (then) location.assign(then)
      else location.reload()
    }
  } catch (error) {
    tell(error.message)
    asker.dispatchEvent(new CustomEvent('undone', { bubbles: true }))
  }
  asker.disabled = false
}

/** What is in a form, as JSON, without a job's options: an empty field is left out, `type=number` is a number, a box true or false. */
export function filled(form) {
  const found = {}
  for (const field of form.elements) {
    if (!field.name || field.disabled || field.closest('[data-job]') || (field.type === 'radio' && !field.checked)) continue
    if (field.type === 'checkbox') found[field.name] = field.checked
    else if (field.value !== '') found[field.name] = field.type === 'number' ? field.valueAsNumber : field.value
  }
  return found
}

/** Copy the code before a button, or what its `data-copy` finds, also where a page without HTTPS has no clipboard. */
async function copy(button) {
  const code = button.dataset.copy ? find(button.dataset.copy) : button.previousElementSibling
  getSelection().selectAllChildren(code)
  try {
    await navigator.clipboard.writeText(code.textContent)
    button.textContent = 'Copied'
  } catch {
    button.textContent = document.execCommand('copy') ? 'Copied' : 'Ctrl-C'
  }
}

document.addEventListener('click', event => {
  if (event.target.closest('[data-theme-toggle]')) {
    const now = root.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')
    root.dataset.theme = now === 'dark' ? 'light' : 'dark'
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`
  }
  const copier = event.target.closest('[data-copy]')
  if (copier) copy(copier)
  const button = event.target.closest('[data-post]')
  if (button) act(button, button.dataset.post)
})

document.addEventListener('submit', event => {
  const { send } = event.target.dataset
  if (!send) return
  event.preventDefault()
  act(event.target, send, filled(event.target))
})

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || inField(document.activeElement)) return
  if (event.key === '?') find('[data-keys]').showModal()
  const search = event.key === '/' && find('[type=search]')
  if (search) { event.preventDefault(); search.focus() }
})

const mended = new WeakSet()

/** Load a picture again that could not be made right now; say why any other is not shown. */
async function mend(image) {
  const { src } = image
  let why
  for (let tries = 0; !mended.has(image) && !why; tries++) {
    const answer = await fetch(src).catch(() => undefined)
    if (image.src !== src) return
    if (answer?.ok) { mended.add(image); image.src = src; return }
    if (answer?.status !== 503 || tries === TRIES) why = answer ? (await problem(answer)).message : 'the page does not answer'
    else await new Promise(go => setTimeout(go, 1000 * (answer.headers.get('Retry-After') ?? BUSY_S)))
  }
  const isThumb = image.matches('.thumb')
  if (isThumb || image.closest('[data-picture]')) {
    image.replaceWith(element(isThumb ? 'span' : 'p', { class: 'soft' }, isThumb || !why ? 'cannot be shown' : why))
  }
}

const mendOurs = image => { if (image.matches?.('img[src*="/picture/"]')) mend(image) }
document.addEventListener('error', event => mendOurs(event.target), true)
for (const image of document.images) if (image.complete && !image.naturalWidth) mendOurs(image) // before this was loaded
