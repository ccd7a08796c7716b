// Exchange the secret of an invitation, which no server and no log sees in an address, for the line to type.
import { ask, show } from './page.js'

const secret = location.hash.slice(1)
const told = document.querySelector('[data-told]')
const agent = navigator.userAgent
const system = /Android|iPhone|iPad/.test(agent) ? 'phone' : /Mac OS/.test(agent) ? 'mac' : /Windows/.test(agent) ? 'windows' : 'linux'

if (secret) {
  history.replaceState(null, '', '/join')
  try {
    const { line } = await ask('POST', '/join', { secret })
    show('line', line)
    told.hidden = true
    document.querySelector('[data-joining]').hidden = false
    for (const hint of document.querySelectorAll(`[data-system=${system}]`)) hint.hidden = false
  } catch (error) {
    told.textContent = error.message
  }
}
