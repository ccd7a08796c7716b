// One run while it goes on.
import { count, hear, show, showState } from './page.js'

const live = document.querySelector('[data-live]')

hear(live.dataset.live, {
  message(status, close) {
    showState('state', status.state)
    show('done', `${count(status.items_done)} of ${count(status.items_total)}`)
    show('missing', count(status.items_failed))
    if (status.state !== 'running') close()
  },
})
