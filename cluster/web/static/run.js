// One run while it goes on: its figures, what happens, and what can be done.
import { ask, count, duration, hear, show, showState, tell } from './page.js'
import * as missing from './missing.js'
import * as timeline from './timeline.js'

const MOST_CHANGES = 50
const section = document.querySelector('[data-run]')
const run = section.dataset.run
const [history, bar] = [document.querySelector('[data-history]'), document.querySelector('[data-bar]')]
const notify = document.querySelector('[data-notify]')
let state = document.querySelector('[data-show="state"]').dataset.state

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
      missing.news(news)
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

document.querySelector('[data-put-share]')?.addEventListener('click', async event => {
  try {
    await ask('PUT', event.target.dataset.address, { share: event.target.dataset.putShare })
    location.reload()
  } catch (error) { tell(error.message) }
})
