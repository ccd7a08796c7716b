// The services while they answer. What is here is told by `services.ServiceRow`.
import { element, hear, showState } from './page.js'

const live = document.querySelector('[data-live]')
const cards = new Map([...live.querySelectorAll('[data-service]')].map(card => [card.dataset.service, card]))

/** Write a text where it is another one. */
function write(place, text) {
  if (place && place.textContent !== text) place.textContent = text
}

/** Fill the body of a table; its box is hidden as long as there is nothing in it. `isFigure` tells by column. */
function fill(body, rows, isFigure) {
  body.closest('.scroll').hidden = !rows.length
  while (body.rows.length > rows.length) body.deleteRow(-1)
  rows.forEach((cells, at) => {
    const row = body.rows[at] ?? body.appendChild(element('tr', {},
      ...cells.map((_, column) => element('td', isFigure(column) ? { class: 'n' } : {}))))
    cells.forEach((cell, column) => write(row.cells[column], cell))
  })
}

/** Show what a service tells now. */
function update(card, service) {
  showState(card.querySelector('.pill'), service.state)
  write(card.querySelector('[data-model]'), service.model)
  for (const place of card.querySelectorAll('[data-fact]')) write(place, service.facts[place.dataset.fact])
  fill(card.querySelector('[data-versions]'), service.versions, column => column > 0)
  fill(card.querySelector('[data-replicas]'), service.replicas, column => column === 4)
  const problems = card.querySelector('[data-problems]')
  const told = service.problems.join('\n')
  problems.hidden = !told
  if (problems.dataset.told !== told) {
    problems.dataset.told = told
    problems.replaceChildren(...service.problems.map(text => element('li', {}, text)))
  }
}

/** Whether somebody is filling in a form here. */
const isTyping = () => document.activeElement.closest('form') !== null

hear(live.dataset.live, {
  message({ services }) {
    const names = services.map(service => service.name)
    for (const [name, card] of cards) card.hidden = !names.includes(name)
    for (const service of services) {
      if (cards.has(service.name)) update(cards.get(service.name), service)
      else if (!isTyping()) location.reload()
    }
  },
})
