// Who is this? Names for groups of faces, by keys too; training of what was said.
import { ask, tell } from './page.js'

const LOOK_MS = 2000
const groups = [...document.querySelectorAll('[data-group]')]
const inField = element => element.matches('input:not([type=hidden]), select, textarea')
const at = () => groups.findIndex(group => group.contains(document.activeElement))

/** Go to a group, whose name can then be typed. */
function go(number) {
  groups[Math.max(0, Math.min(number, groups.length - 1))]?.querySelector('input[list]').focus()
}

// After an answer the page is loaded again: the next group stands where this one was.
const was = sessionStorage.getItem('group')
if (was !== null) { sessionStorage.removeItem('group'); go(Number(was)) }
document.addEventListener('done', () => { if (at() >= 0) sessionStorage.setItem('group', at()) })

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  if (event.key === 'Escape' && at() >= 0) groups[at()].querySelector('a').focus()
  if (inField(event.target)) return
  if (event.key === 'j' || event.key === 'k') {
    event.preventDefault()
    const to = at() + (event.key === 'j' ? 1 : -1)
    groups[Math.max(0, Math.min(to, groups.length - 1))]?.querySelector('a').focus()
  }
  if (at() >= 0) groups[at()].querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click()
})

/** While a version is trained: look for its end, and show it unless a name is being typed. */
async function awaitVersion(told) {
  const { training } = await ask('GET', `${location.pathname}.json${location.search}`).catch(() => ({ training: [1] }))
  if (training.length) setTimeout(awaitVersion, LOOK_MS, told)
  else if (inField(document.activeElement) && document.activeElement.value) told.textContent = 'The next version is there: load this page again.'
  else location.reload()
}
const told = document.querySelector('[data-training]')
if (told) setTimeout(awaitVersion, LOOK_MS, told)

/** Do something that begins a run, and go to it. */
async function begin(button, method, address, body) {
  button.disabled = true
  try {
    const { run } = await ask(method, address, body)
    if (run) location.assign(`/runs/${run}`)
    else location.reload()
  } catch (error) {
    tell(error.message)
    button.disabled = false
  }
}

document.addEventListener('click', event => {
  const train = event.target.closest('[data-train]')
  if (train) begin(train, 'POST', train.dataset.train)
  const again = event.target.closest('[data-again]')
  if (again) {
    const options = { model: again.dataset.model, describe: true }
    begin(again, 'POST', '/api/runs', { job: 'faces', upload: again.dataset.again, options })
  }
})

document.addEventListener('submit', event => {
  const { target } = event
  if (target.matches('[data-runs]')) {
    event.preventDefault()
    const runs = [...target.querySelectorAll('input:checked')].map(box => box.value)
    location.assign(`?run=${runs.join(',')}`)
  }
  if (target.matches('[data-people-new]')) {
    event.preventDefault()
    const { run } = target.dataset
    location.assign(`/people/${encodeURIComponent(target.elements.name.value)}${run ? `?run=${run}` : ''}`)
  }
})
