// Push a folder or a ZIP as the next version of a model.
import { tell } from './page.js'

const form = document.querySelector('[data-push]')
const told = form.querySelector('[data-push-told]')
const field = name => form.elements[name]

/** The bytes of files one after another, each behind a line that tells its name and size. */
const packed = files => new Blob(files.flatMap(file =>
  [JSON.stringify({ name: file.webkitRelativePath || file.name, size: file.size }) + '\n', file]))

/** Send bytes, and say how many are through; gives what the API answers. */
function send(address, body) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('POST', address)
    request.setRequestHeader('Content-Type', 'application/octet-stream')
    request.responseType = 'json'
    request.upload.onprogress = event => {
      told.textContent = event.loaded < event.total
        ? `${Math.floor(100 * event.loaded / event.total)} % sent` : 'Sent; it is being tried …'
    }
    request.onload = () => request.status < 300 ? resolve(request.response)
      : reject(new Error(request.response?.detail ?? `it answered ${request.status}`))
    request.onerror = () => reject(new Error('the page does not answer'))
    request.send(body)
  })
}

form.addEventListener('submit', async event => {
  event.preventDefault()
  const [archive] = field('archive').files
  const files = [...field('folder').files]
  if (!archive && !files.length) { tell('Choose a folder or a ZIP first.'); return }
  const button = form.querySelector('button.primary')
  const query = new URLSearchParams({ force: field('force').checked })
  if (field('job').value) query.set('job', field('job').value)
  button.disabled = true
  try {
    const found = await send(`/api/models/${encodeURIComponent(field('name').value)}/versions?${query}`,
      archive ?? packed(files))
    location.assign(`/models/${found.ref}`)
  } catch (error) {
    told.textContent = `Not pushed: ${error.message}`
    button.disabled = false
  }
})
