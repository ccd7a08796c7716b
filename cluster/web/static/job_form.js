// The part of a form that says what is to be done: a job, and its options.
import { ask, show, tell } from './page.js'

export const job = document.querySelector('#job')
const FORESEE_MS = 400
const model = document.querySelector('#model')
const jobs = new Map([...document.querySelectorAll('#models option')].map(one => [one.value, one.dataset.of]))
let timer, asked = 0

/** The job that is chosen, or else the one of the model that is named. */
const chosen = () => job.value || jobs.get(model.value.trim().split(':')[0])

const fields = () => document.querySelector(`fieldset[data-job="${chosen()}"]`)

const usual = list => [...list.options].find(one => one.defaultSelected)?.value

export const isTouched = box => box.checked !== box.defaultChecked

/** The boxes that are meant, and what else is not as it stood there at first. */
export function options(isMeant = () => true) {
  const found = {}
  for (const field of fields()?.elements ?? []) {
    if (!field.name) continue
    if (field.type === 'checkbox') {
      if (isMeant(field)) found[field.name] = field.checked
    } else if (field.value !== '' && field.value !== (field.options ? usual(field) : field.defaultValue)) {
      found[field.name] = field.type === 'number' ? field.valueAsNumber : field.value
    }
  }
  return found
}

/** Say what is wrong: at the field that the API names, or else for some seconds. */
export function tellAt({ field, message }) {
  const [name, option] = (field ?? '').split('.')
  const place = option ? fields()?.elements[option] : name && job.form.elements[name]
  if (!place?.setCustomValidity) return tell(message)
  place.closest('details')?.setAttribute('open', '')
  place.setCustomValidity(message)
  place.reportValidity()
  for (const event of ['input', 'blur']) place.addEventListener(event, () => place.setCustomValidity(''), { once: true })
}

const quoted = word => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`

/** What a field lacks that the browser itself finds wrong, as the page tells it. */
function lacking(field) {
  const name = field.labels[0].firstChild.textContent.trim().replace(' (needed)', '')
  return field.validity.valueMissing ? `Fill in ${name} to see who can do this.` : `${name}: ${field.validationMessage}`
}

/** Say who could do what is wanted, and the command that does it, now and whenever the form changes. */
export function foresee(address, wanted) {
  const look = async () => {
    const mine = asked += 1
    const wrong = job.form.querySelector('input:invalid')
    if (wrong) return show('able', lacking(wrong))
    try {
      const { told, command } = await ask('POST', address, wanted())
      if (mine !== asked) return
      show('able', told)
      job.form.querySelector('.command code').textContent = command.map(quoted).join(' ')
    } catch (error) { if (mine === asked) show('able', error.message) }
  }
  const changed = () => {
    for (const one of document.querySelectorAll('fieldset[data-job]')) one.hidden = one.disabled = one.dataset.job !== chosen()
    clearTimeout(timer)
    if (chosen()) timer = setTimeout(look, FORESEE_MS)
  }
  job.form.addEventListener('input', changed)
  changed()
}
