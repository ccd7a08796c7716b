// The nodes while they work: the table of all, and the page of one. What is here is told by `node_rows.Cells`.
import { hear, show, showState, tell } from './page.js'

const live = document.querySelector('[data-live]')
const table = live.querySelector('tbody')
const empty = document.querySelector('[data-empty]')
const rows = new Map([...document.querySelectorAll('[data-name]')].map(row => [row.dataset.name, row]))

/** Have the buttons of a row ask something of its node. */
function arm(row, name) {
  const label = row.querySelector('[data-cell=label]').textContent
  for (const button of row.querySelectorAll('[data-wish]')) {
    const { wish } = button.dataset
    button.dataset.post = `/api/nodes/${encodeURIComponent(name)}/${wish}`
    button.setAttribute('aria-label', { pause: `Pause ${label}`, 'go-on': `Have ${label} go on`, stop: `Stop ${label}` }[wish])
    if (wish !== 'stop') continue
    button.dataset.yes = 'Stop it'
    button.dataset.ask = `Stop ${label}? It ends what it works on, takes nothing more and leaves; \`cluster worker\` there starts it again.`
  }
}

/** A row for a node that has joined, copied from the template. */
function newRow(name, label) {
  const row = document.querySelector('template[data-row]').content.firstElementChild.cloneNode(true)
  const link = row.querySelector('a')
  row.dataset.name = name
  link.href = `/nodes/${encodeURIComponent(name)}`
  link.textContent = label
  arm(row, name)
  return row
}

/** Fill the cells that have changed. */
function fill(row, cells) {
  for (const [name, value] of Object.entries(cells)) {
    const cell = row.querySelector(`[data-cell=${name}]`)
    if (name === 'state') showState(row.querySelector('[data-state]'), value)
    else if (name === 'path') cell?.setAttribute('d', value)
    else if (name === 'busy') cell?.setAttribute('width', value)
    else if (name === 'here' || name === 'paused') row.dataset[name] = value
    else if (cell && cell.textContent !== value) cell.textContent = value
  }
  const { here, paused } = row.dataset
  if (here === undefined) return
  for (const button of row.querySelectorAll('[data-wish]')) {
    const isWrong = { pause: paused === 'true', 'go-on': paused !== 'true', stop: false }[button.dataset.wish]
    button.hidden = here !== 'true' || isWrong
  }
}

/** Have a row for each of the names, in their order. */
function place(names, changed) {
  for (const [name, row] of rows) if (!names.includes(name)) { row.remove(); rows.delete(name) }
  names.forEach((name, at) => {
    if (!rows.has(name)) rows.set(name, newRow(name, changed[name]?.label ?? name))
    if (table.rows[at] !== rows.get(name)) table.insertBefore(rows.get(name), table.rows[at] ?? null)
  })
  live.hidden = !names.length
  empty.hidden = names.length > 0
}

for (const [name, row] of rows) arm(row, name)

hear(live.dataset.live, {
  message({ summary, here, slots, names, rows: changed }) {
    show('summary', summary)
    show('top-nodes', here)
    show('top-slots', slots)
    if (table) place(names, changed)
    for (const [name, cells] of Object.entries(changed)) if (rows.has(name)) fill(rows.get(name), cells)
  },
})

document.addEventListener('done', event => {
  event.preventDefault() // the row tells it
  const { name, has_answered: hasAnswered } = event.detail
  if (!hasAnswered) tell(`${name} has not answered: it hears of it once it is heard of again.`)
})
