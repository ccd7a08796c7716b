// The part of a form that says what is to be done: a job, and its options.
import { ask, show } from './page.js'

export const job = document.querySelector('#job')
const FORESEE_MS = 400
let timer

const fields = () => document.querySelector(`fieldset[data-job="${job.value}"]`)

const usual = list => [...list.options].find(one => one.defaultSelected)?.value

/** The boxes, and what else is not as by default. */
export function options() {
  const found = {}
  for (const field of fields().elements) {
    if (!field.name) continue
    if (field.type === 'checkbox') {
      found[field.name] = field.checked
    } else if (field.value !== '' && field.value !== (field.options ? usual(field) : field.defaultValue)) {
      found[field.name] = field.type === 'number' ? field.valueAsNumber : field.value
    }
  }
  return found
}

const quoted = word => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`

/** Say who could do the run, and the command that does it. */
async function foresee() {
  try {
    const { told, command } = await ask('POST', '/api/foresee', { job: job.value, options: options() })
    show('able', told)
    document.querySelector('.command code').textContent = command.map(quoted).join(' ')
  } catch (error) { show('able', error.message) }
}

/** Show the options of the job that is chosen, and soon who could do it. */
function changed() {
  for (const one of document.querySelectorAll('fieldset[data-job]')) one.hidden = one.disabled = one.dataset.job !== job.value
  clearTimeout(timer)
  timer = setTimeout(foresee, FORESEE_MS)
}

if (document.querySelector('[data-show=able]')) {
  job.form.addEventListener('input', changed)
  changed()
}
