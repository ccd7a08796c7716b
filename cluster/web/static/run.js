// One run while it goes on: its figures, what happens, what it lacks, and what can be done.
import { ask, count, duration, element, hear, show, showState, tell } from './page.js'
import * as timeline from './timeline.js'

const MOST_CHANGES = 50, MOST_MISSING = 20, AGAIN_MS = 5000
const section = document.querySelector('[data-run]')
const run = section.dataset.run
const [history, bar] = [document.querySelector('[data-history]'), document.querySelector('[data-bar]')]
const notify = document.querySelector('[data-notify]')
const lacking = document.querySelector('[data-missing]')
const again = lacking.querySelector('form')
let state = document.querySelector('[data-show="state"]').dataset.state
let known = Number(again.dataset.total), askedAt = -AGAIN_MS

/** The figures. */
function showFigures({ status, figures }) {
  showState('state', figures.state)
  show('done', `${count(status.items_done)} of ${count(status.items_total)}`)
  show('rate', figures.rate == null ? '?' : figures.rate.toFixed(1))
  show('time', duration(status.seconds))
  show('left', status.state === 'running' ? duration(figures.left_s) : '–')
  show('missing', count(status.items_failed))
  show('nodes', Object.keys(status.nodes).length)
  show('waiting', figures.waiting)
  show('coordinator', status.coordinator ? ` · coordinated by ${status.coordinator}` : '')
  const percent = Math.round((figures.done ?? 0) * 100)
  document.title = `${status.state === 'running' && figures.done != null ? `${percent} % ` : ''}${run} · cluster`
  bar.setAttribute('aria-label', `${percent} percent done`)
  let at = 0
  for (const [part, share] of [['d', figures.done ?? 0], ['x', figures.missing], ['c2', figures.running]]) {
    const rect = bar.querySelector(`.${part}`)
    rect.setAttribute('x', at)
    rect.setAttribute('width', share * 1000)
    at += share * 1000
  }
  for (const button of document.querySelectorAll('[data-if]')) {
    const { if: when } = button.dataset
    button.hidden = when === 'going' ? status.state !== 'running' : when !== figures.state
  }
}

/** New lines of the history; those that stand there already are passed over. */
function addChanges(changes) {
  const wrong = ['failed', 'killed', 'lost', 'rejected']
  for (const { id, at, time, event, what, about } of changes) {
    if (history.dataset.history && !wrong.includes(event)) continue
    if (history.querySelector(`[data-id="${CSS.escape(id)}"]`)) continue
    const line = document.querySelector('[data-line]').content.firstElementChild.cloneNode(true)
    line.dataset.id = id
    line.querySelector('time').dateTime = at
    for (const [place, text] of [['time', time], ['b', what], ['span', about]]) line.querySelector(place).textContent = text
    history.querySelector('[data-id=""]')?.remove()
    history.append(line)
    while (history.children.length > MOST_CHANGES) history.firstElementChild.remove()
  }
}

/** A row of what is missing, as the template writes it. */
function row(upload, { item, reason, node }) {
  const cells = [element('th', { scope: 'row', class: 'name' }, item), element('td', { class: 'why' }, reason), element('td', {}, node || 'not sent')]
  const path = item.split('/').map(encodeURIComponent).join('/')
  const picture = element('img', { class: 'thumb', loading: 'lazy', src: `/runs/${run}/picture/${path}?size=thumb`, alt: 'no picture' })
  return element('tr', {}, ...(upload ? [element('td', {}, picture)] : []), ...cells)
}

/** Look at what is missing where that is more. */
async function showMissing({ status }) {
  lacking.hidden = !status.items_failed
  if (status.items_failed === known || performance.now() - askedAt < AGAIN_MS) return
  askedAt = performance.now()
  const found = await ask('GET', lacking.dataset.missing).catch(() => null)
  if (!found) return
  known = found.total
  lacking.querySelector('[data-missing-rows]').replaceChildren(...found.items.slice(0, MOST_MISSING).map(one => row(found.upload, one)))
}

/** The options that are other ones than the run's. */
function changed() {
  const found = {}
  for (const field of again.querySelectorAll('details [name]')) {
    if (field.type === 'checkbox') {
      if (field.checked !== field.defaultChecked) found[field.name] = field.checked
    } else if (field.value !== (field.options ? [...field.options].find(one => one.defaultSelected)?.value ?? '' : field.defaultValue)) {
      if (field.value !== '') found[field.name] = field.type === 'number' ? field.valueAsNumber : field.value
    }
  }
  return found
}

/** Whether a person wants to be told when the run is over. */
const isWanted = () => Boolean(localStorage.getItem(`tell ${run}`))

/** Say that the run is over, where a person asked for it. */
function isOver(status) {
  if (isWanted() && Notification.permission === 'granted') {
    new Notification(`${run}: ${status.state}`, { body: `${count(status.items_done)} done, ${count(status.items_failed)} missing` })
  }
  localStorage.removeItem(`tell ${run}`)
}

if (section.dataset.live) {
  if ('Notification' in window && isSecureContext) notify.hidden = isWanted()
  hear(section.dataset.live, {
    message(news, close) {
      showFigures(news)
      addChanges(news.changes)
      timeline.news(news)
      showMissing(news)
      document.dispatchEvent(new CustomEvent('news', { detail: news }))
      if (news.training && !document.querySelector('[data-training]')) location.reload() // its first round has begun
      const { status, figures } = news
      if (status.state === 'running') {
        state = figures.state
        return
      }
      close()
      isOver(status)
      if (state !== status.state) location.reload()
    },
  }, isWanted)
}

notify.addEventListener('click', async () => {
  if (await Notification.requestPermission() !== 'granted') return tell('this browser shows no notifications of this page')
  localStorage.setItem(`tell ${run}`, 'yes')
  notify.hidden = true
})

again.addEventListener('submit', async event => {
  event.preventDefault()
  const boxes = [...again.querySelectorAll('[data-item]')]
  const isAsShown = boxes.every(box => box.checked === box.defaultChecked)
  const items = isAsShown ? null : boxes.filter(box => box.checked).map(box => box.value) // null: also those that are not shown
  const button = again.querySelector('[data-try]')
  button.disabled = true
  try {
    const { run } = await ask('POST', again.dataset.again, { items, options: changed() })
    location.assign(`/runs/${run}`)
  } catch (error) {
    tell(error.message)
    button.disabled = false
  }
})

document.querySelector('[data-put-share]')?.addEventListener('click', async event => {
  try {
    await ask('PUT', event.target.dataset.address, { share: event.target.dataset.putShare })
    location.reload()
  } catch (error) { tell(error.message) }
})
