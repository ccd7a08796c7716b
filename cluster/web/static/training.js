// How a run in rounds learns, as `training.Training` tells it; run.js hears the news of its run.
import { element } from './page.js'
import { fill, list, write } from './tables.js'

const SVG = 'http://www.w3.org/2000/svg'
const section = document.querySelector('[data-training]')
const find = selector => section.querySelector(selector)

/** Make an element of a drawing. */
function shape(name, attributes, text = '') {
  const made = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.textContent = text
  return made
}

/** A line over rounds: the same drawing as in charts.html. */
function draw(chart) {
  let figure = find(`[data-chart="${chart.name}"]`)
  if (!figure) {
    figure = element('figure', { class: 'card chart', 'data-chart': chart.name },
      element('figcaption', {}, `${chart.name} by round, now `, element('b')))
    figure.append(shape('svg', { viewBox: '0 0 560 150', role: 'img' }))
    find('[data-charts] p')?.remove()
    find('[data-charts]').append(figure)
  }
  write(figure.querySelector('b'), chart.now)
  const svg = figure.querySelector('svg')
  svg.setAttribute('aria-label', `${chart.name} from round ${chart.first} to ${chart.last}, now ${chart.now}`)
  svg.replaceChildren(
    ...chart.ticks.flatMap(({ at, text }) => [shape('line', { class: 'grid', x1: 48, x2: 560, y1: at, y2: at }),
      shape('text', { x: 42, y: at + 4, 'text-anchor': 'end' }, text)]),
    shape('polyline', { class: 'line', points: chart.points }), shape('text', { x: 48, y: 148 }, chart.first),
    shape('text', { x: 560, y: 148, 'text-anchor': 'end' }, chart.last))
}

/** Show all that is known by now. */
function update(training) {
  for (const place of section.querySelectorAll('[data-fact]')) write(place, training.facts[place.dataset.fact])
  training.charts.forEach(draw)
  const heads = find('[data-heads]')
  if (heads.children.length !== training.heads.length) {
    heads.replaceChildren(...training.heads.map(head => element('th', { scope: 'col', class: 'n' }, head)))
  }
  fill(find('[data-rows]'), training.rows, () => true)
  fill(find('[data-shares]'), training.shares.map(share => share.told), column => column > 1)
  find('[data-bar-of-shares]').replaceChildren(...training.shares.map(({ before, share }, at) =>
    shape('rect', { class: at % 2 ? 'c2' : 'c', x: before * 100, width: share * 100, height: 4 })))
  write(find('[data-late]'), training.late_told)
  list(find('[data-reasons]'), training.reasons)
  find('[data-late-parts]').hidden = !training.late_told && !training.reasons.length
  write(find('[data-travel]'), training.travel && `How parts travelled last: ${training.travel}`)
}

document.addEventListener('news', event => { if (event.detail.training) update(event.detail.training) })
