// Of every page: light or dark, keys, buttons that ask the API, and live data.

const root = document.documentElement
const inField = element => element.matches('input, select, textarea, [contenteditable]')
const dark = matchMedia('(prefers-color-scheme: dark)')

if (localStorage.theme) root.dataset.theme = localStorage.theme

/** Ask the API. Gives what it answered, undefined for nothing; throws an Error with what is wrong, in words. */
export async function ask(method, address, body) {
  const headers = body === undefined ? {} : { 'Content-Type': 'application/json' }
  let answer
  try {
    answer = await fetch(address, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
  } catch {
    throw new Error('the page does not answer')
  }
  if (answer.status === 401) location.assign('/enter')
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `${answer.status}`)
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
export const count = number => number == null ? '?' : number.toLocaleString('en')

const banner = document.querySelector('[data-connection]')

/** Say that nothing is heard, and since when; with no text, that all is well again. */
export function tellConnection(text) {
  banner.hidden = !text
  banner.textContent = text ?? ''
}

/** Hear events of an address while the page is shown; `on` maps the name of an event to what is done with its data. */
export function hear(address, on) {
  let source
  let heardAt = new Date()
  const lost = () => tellConnection(`Not connected, last heard ${heardAt.toLocaleTimeString()}.`)
  const open = () => {
    source = new EventSource(address)
    for (const [name, act] of Object.entries(on)) {
      source.addEventListener(name, event => {
        heardAt = new Date()
        tellConnection()
        act(JSON.parse(event.data), () => { source.close(); source = undefined })
      })
    }
    source.addEventListener('problem', lost)
    source.onerror = lost
  }
  document.addEventListener('visibilitychange', () => {
    if (document.hidden && source) { source.close(); source = null } else if (!document.hidden && source === null) open()
  })
  open()
}

document.addEventListener('click', async event => {
  if (event.target.closest('[data-theme-toggle]')) {
    const now = root.dataset.theme ?? (dark.matches ? 'dark' : 'light')
    localStorage.theme = root.dataset.theme = now === 'dark' ? 'light' : 'dark'
  }
  const button = event.target.closest('[data-post]')
  if (!button) return
  if (button.dataset.ask && !confirm(button.dataset.ask)) return
  button.disabled = true
  try {
    await ask(button.dataset.method ?? 'POST', button.dataset.post)
    if (button.dataset.then) location.assign(button.dataset.then)
    else location.reload()
  } catch (error) {
    alert(error.message)
    button.disabled = false
  }
})

document.addEventListener('keydown', event => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || inField(document.activeElement)) return
  const search = document.querySelector('[type=search]')
  if (search) { event.preventDefault(); search.focus() }
})
