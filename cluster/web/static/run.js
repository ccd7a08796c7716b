// One run while it goes on.
import { count, hear } from './page.js'

const live = document.querySelector('[data-live]')
const show = (name, text) => { document.querySelector(`[data-${name}]`).textContent = text }

hear(live.dataset.live, {
  message(status, close) {
    show('state', status.state)
    show('done', `${count(status.items_done)} of ${count(status.items_total)}`)
    show('missing', count(status.items_failed))
    if (status.state !== 'running') close()
  },
})
