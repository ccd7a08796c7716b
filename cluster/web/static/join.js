// The line with the password, and a QR code, once an admin asks for them.
import { show } from './page.js'

document.addEventListener('done', event => {
  event.preventDefault()
  const { line, address, qr_size: size, qr_path: path } = event.detail
  if (line) {
    show('line', line)
    document.querySelector('[data-copy]').hidden = false
    event.target.hidden = true
  } else {
    show('address', address)
    const place = document.querySelector('[data-invitation]')
    place.querySelector('svg').setAttribute('viewBox', `0 0 ${size} ${size}`)
    place.querySelector('svg').toggleAttribute('hidden', !size)
    place.querySelector('path').setAttribute('d', path)
    place.hidden = false
  }
})
