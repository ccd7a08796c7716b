// The runs that go on, in the list.
import { count, duration, hear, showState } from './page.js'

const going = [...document.querySelectorAll('[data-run]')].filter(row => row.querySelector('[data-state=running], [data-state=paused]'))
const rows = new Map(going.slice(0, 40).map(row => [row.dataset.run, row]))

if (rows.size) {
  hear(`/api/runs/live?runs=${[...rows.keys()].join(',')}`, {
    message(news, close) {
      for (const { run, state, items_done, items_total, items_failed, seconds } of news) {
        const row = rows.get(run)
        const put = (name, text) => {
          const cell = row.querySelector(`[data-${name}]`)
          if (cell.textContent !== text) cell.textContent = text
        }
        showState(row.querySelector('.pill'), state)
        put('done', `${count(items_done)} of ${count(items_total)}`)
        put('missing', count(items_failed))
        put('time', duration(seconds))
      }
      if (news.every(one => !['running', 'paused'].includes(one.state))) close()
    },
  })
}
