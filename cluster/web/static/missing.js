// What a run lacks: the table as it grows, and doing these items again.
import { ask, element, tell } from './page.js'

const AGAIN_MS = 5000, MOST = 20
const section = document.querySelector('[data-missing]')
const form = section.querySelector('form')
let known = Number(form.dataset.total), askedAt = -AGAIN_MS

/** A row of the table, as the template writes it. */
function row(run, upload, { item, reason, node }) {
  const cells = [element('th', { scope: 'row', class: 'name' }, item), element('td', { class: 'why' }, reason), element('td', {}, node || 'not sent')]
  const path = item.split('/').map(encodeURIComponent).join('/')
  const picture = element('img', { class: 'thumb', loading: 'lazy', src: `/runs/${run}/picture/${path}?size=thumb`, alt: 'no picture' })
  return element('tr', {}, ...(upload ? [element('td', {}, picture)] : []), ...cells)
}

/** News of the run: look at what is missing where that is more. */
export async function news({ status }) {
  section.hidden = !status.items_failed
  if (status.items_failed === known || performance.now() - askedAt < AGAIN_MS) return
  askedAt = performance.now()
  const found = await ask('GET', section.dataset.missing).catch(() => null)
  if (!found) return
  known = found.total
  section.querySelector('[data-missing-rows]').replaceChildren(...found.items.slice(0, MOST).map(one => row(found.run, found.upload, one)))
}

/** The options that are other ones than the run's. */
function changed() {
  const found = {}
  for (const field of form.querySelectorAll('details [name]')) {
    if (field.type === 'checkbox') {
      if (field.checked !== field.defaultChecked) found[field.name] = field.checked
    } else if (field.value !== (field.options ? [...field.options].find(one => one.defaultSelected)?.value ?? '' : field.defaultValue)) {
      if (field.value !== '') found[field.name] = field.type === 'number' ? field.valueAsNumber : field.value
    }
  }
  return found
}

form.addEventListener('submit', async event => {
  event.preventDefault()
  const boxes = [...form.querySelectorAll('[data-item]')]
  const isAsShown = boxes.every(box => box.checked === box.defaultChecked)
  const items = isAsShown ? null : boxes.filter(box => box.checked).map(box => box.value) // null: also those that are not shown
  const button = form.querySelector('[data-try]')
  button.disabled = true
  try {
    const { run } = await ask('POST', form.dataset.again, { items, options: changed() })
    location.assign(`/runs/${run}`)
  } catch (error) {
    tell(error.message)
    button.disabled = false
  }
})
