// Users, tokens and links to runs: what was made is shown once; a role counts as soon as it is chosen.
import './page.js'

const made = document.querySelector('[data-made]')

document.addEventListener('done', event => {
  if (!event.target.hasAttribute('data-makes')) return
  event.preventDefault() // else the page would be loaded anew, and the secret be gone
  const { user, link, name, token } = event.detail
  made.querySelector('[data-made-for]').textContent = user ?? name
  made.querySelector('[data-made-secret]').textContent = link ?? token
  made.hidden = false
  document.querySelector('[data-none]')?.remove()
  made.scrollIntoView({ block: 'nearest' })
  made.querySelector('button').focus()
})

document.addEventListener('change', event => {
  if (event.target.matches('[data-submits]')) event.target.form.requestSubmit()
})

document.addEventListener('undone', event => { // show the role that the user still has
  if (event.target.matches('form:has([data-submits])')) event.target.reset()
})
