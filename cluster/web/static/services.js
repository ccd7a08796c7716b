// The services while they answer. What is here is told by `services.ServiceRow`.
import { foresee, isTouched, options, tellAt } from './job_form.js'
import { ask, filled, hear, showState } from './page.js'
import { fill, list, write } from './tables.js'

const live = document.querySelector('[data-live]')
const form = document.querySelector('[data-serve]')
const cards = new Map([...live.querySelectorAll('[data-service]')].map(card => [card.dataset.service, card]))

/** Show what a service tells now. */
function update(card, service) {
  showState(card.querySelector('.pill'), service.state)
  write(card.querySelector('[data-model]'), service.model)
  for (const place of card.querySelectorAll('[data-fact]')) write(place, service.facts[place.dataset.fact])
  fill(card.querySelector('[data-versions]'), service.versions, column => column > 0)
  fill(card.querySelector('[data-replicas]'), service.replicas, column => column === 4)
  const problems = card.querySelector('[data-problems]')
  problems.hidden = !service.problems.length
  list(problems, service.problems)
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

/** The service that the form describes: what was not touched stays as it is, or is as by default. */
const wanted = () => ({ ...filled(form), options: options(isTouched) })

if (form) foresee('/api/services/foresee', wanted)
form?.addEventListener('submit', async event => {
  event.preventDefault()
  try {
    await ask('POST', '/api/services', wanted())
    location.assign('/services')
  } catch (error) { tellAt(error) }
})
