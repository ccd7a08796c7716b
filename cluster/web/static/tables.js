// Tables and texts that change: only what is another one is touched.
import { element } from './page.js'

/** Write a text where it is another one. */
export function write(place, text) {
  if (place && place.textContent !== text) place.textContent = text
}

/** Fill the body of a table; its box is hidden as long as there is nothing in it. `isFigure` tells by column. */
export function fill(body, rows, isFigure) {
  body.closest('.scroll').hidden = !rows.length
  while (body.rows.length > rows.length || body.rows[0]?.cells.length !== rows[0]?.length && body.rows.length) body.deleteRow(-1)
  rows.forEach((cells, at) => {
    const row = body.rows[at] ?? body.appendChild(element('tr', {},
      ...cells.map((_, column) => element('td', isFigure(column) ? { class: 'n' } : {}))))
    cells.forEach((cell, column) => write(row.cells[column], cell))
  })
}

/** Have a list say these lines. */
export function list(place, lines) {
  const told = lines.join('\n')
  if (place.dataset.told !== told) {
    place.dataset.told = told
    place.replaceChildren(...lines.map(text => element('li', {}, text)))
  }
}
