// The page of a new run: files are sent while one chooses what is to be done with them.
import { ask, count, duration, element, show, size, tell } from './page.js'
import { foresee, job, options, tellAt } from './job_form.js'
import { chosen, dropped, Sender } from './sending.js'

const find = selector => document.querySelector(selector)
const form = find('[data-new-run]'), drop = find('[data-drop]'), panel = find('[data-sending]')
const start = find('[data-start]'), pause = find('[data-pause]'), end = find('[data-end]'), notes = find('[data-notes]')
const MOST_NOTES = 20
const REST = 'To send the rest, drop the same files or folder again: what is here is not sent twice.'
let leftOut = [], run = '', looking = 0, beginning

const sender = new Sender(draw, tell)
drop.hidden = false

const files = number => `${count(number)} ${number === 1 ? 'file' : 'files'}`

/** Show how far sending is. */
function draw() {
  const all = sender.files || sender.received + sender.lacking || looking
  const isNone = !all && leftOut.length > 0
  panel.hidden = !all && !isNone
  find('[data-progress]').hidden = isNone
  show('sent', isNone ? '' : `${count(Math.max(sender.sentFiles, sender.files ? 0 : sender.received))} of ${files(all)}`)
  const left = sender.rate ? `${duration((sender.bytes - sender.sentBytes) / sender.rate)} left` : ''
  const rate = sender.rate ? `${size(sender.rate)}/s` : ''
  show('speed', [sender.files && `${size(sender.sentBytes)} of ${size(sender.bytes)}`, rate, left].filter(Boolean).join(' · '))
  find('[data-progress]').value = sender.bytes ? sender.sentBytes / sender.bytes : sender.received / (all || 1)
  pause.textContent = sender.paused ? 'Go on' : 'Pause'
  pause.hidden = sender.isDone
  const here = `${files(sender.received)} ${sender.received === 1 ? 'has' : 'have'} arrived.`
  const next = run ? 'Keep this page open until all are sent.' : 'The run may begin now: nodes work while the rest is sent.'
  show('told', (looking && `Found ${files(looking)} so far.`) || sender.told || (isNone && readsNone()) || (sender.isDone ? `${here} ${sender.lacking ? REST : ''}` : `${here} ${next}`))
  const told = [
    ...sender.refused.map(({ name, why }) => `${name}: ${why}`),
    ...sender.unread.map(name => `${name} could not be read on your disk`),
  ]
  if (leftOut.length && !isNone) told.unshift(`${count(leftOut.length)} left out: ${job.value} does not read their kind (${kinds()})`)
  notes.replaceChildren(...told.slice(0, MOST_NOTES).map(text => element('p', { class: 'sub' }, text)))
  if (told.length > MOST_NOTES) notes.append(element('p', { class: 'sub' }, `and ${told.length - MOST_NOTES} more`))
}

const suffix = name => /[^/](\.[a-z]\w{0,9})$/i.exec(name)?.[1].toLowerCase() ?? ''
const kinds = () => [...new Set(leftOut.map(one => suffix(one.name)))].slice(0, 5).join(' ')
const readsNone = () => `${job.value} reads none of these files (${kinds()}): it reads ${job.selectedOptions[0].dataset.reads}.`

/** Whether the job that is chosen reads a file of this name; those without a suffix are looked into when they are there. */
function takes(name) {
  const { suffixes } = job.selectedOptions[0].dataset
  return !suffixes || !suffix(name) || suffixes.split(' ').includes(suffix(name))
}

/** Send files that the job reads, and keep the others for another job. */
async function add(found) {
  leftOut.push(...found.filter(one => !takes(one.name)))
  const taken = found.filter(one => takes(one.name))
  if (!taken.length) return draw()
  beginning ??= begin(taken)
  try { await beginning } catch (error) { beginning = undefined; tell(error.message); return }
  sender.add(taken)
  await sender.run()
  await finish()
}

/** Have an upload to send to; its address brings one back to it. */
async function begin(found) {
  const bytes = found.reduce((sum, one) => sum + one.file.size, 0)
  const { upload } = await ask('POST', '/api/uploads', { files: found.length, bytes, job: job.value })
  sender.upload = upload
  history.replaceState(null, '', `/submit?${new URLSearchParams({ job: job.value, upload })}`)
}

/** Close the upload once all is sent and a run reads it; one that was broken off waits for its rest. */
async function finish(isAll = !sender.lacking && sender.files + sender.received > 0) {
  if (!run || !sender.isDone || sender.paused) return
  end.hidden = isAll
  if (!isAll) return
  try {
    await ask('POST', `/api/uploads/${sender.upload}/close`)
    location.assign(`/runs/${run}`)
  } catch (error) { tell(error.message) }
}

foresee('/api/foresee', () => ({ job: job.value, options: options() }))
job.addEventListener('change', () => add(leftOut.splice(0)))
/** A run reads the upload. */
function begun(id) {
  run = id
  start.disabled = true
  find('[data-show=begun]').replaceChildren('Begun: ', element('a', { href: `/runs/${run}`, target: '_blank' }, run))
}

form.addEventListener('submit', async event => {
  event.preventDefault()
  if (!sender.upload) return tell(leftOut.length ? readsNone() : 'Drop or choose some files first.')
  start.disabled = true
  try {
    const share = form.elements.share.checked ? 'cluster' : 'private'
    begun((await ask('POST', '/api/runs', { job: job.value, upload: sender.upload, options: options(), share })).run)
    draw()
    await finish()
  } catch (error) { tellAt(error); start.disabled = false }
})
pause.addEventListener('click', async () => { sender.paused = !sender.paused; draw(); await sender.run(); await finish() })
end.addEventListener('click', () => finish(true))

drop.addEventListener('click', event => {
  const choice = event.target.closest('[data-choose]')?.dataset.choose
  if (choice) find(choice === 'files' ? '[data-files]' : '[data-folder]').click()
})
for (const input of drop.querySelectorAll('input')) {
  input.addEventListener('change', () => { add(chosen(input.files)); input.value = '' })
}
for (const name of ['dragover', 'dragleave', 'drop']) {
  addEventListener(name, event => { event.preventDefault(); drop.classList.toggle('over', name === 'dragover') })
}
addEventListener('drop', async event => {
  const found = await dropped(event.dataTransfer.items, name => sender.unread.push(name), seen => { looking = seen; draw() })
  looking = 0
  await add(found)
})
addEventListener('paste', event => { if (event.clipboardData.files.length) add(chosen(event.clipboardData.files)) })
addEventListener('beforeunload', event => { if (!sender.isDone) event.preventDefault() })

if (panel.dataset.upload) {
  beginning = sender.resume(panel.dataset.upload, Number(panel.dataset.expected))
  await beginning.then(draw, error => tell(error.message))
  if (panel.dataset.run) begun(panel.dataset.run)
  draw()
  end.hidden = !run
}
