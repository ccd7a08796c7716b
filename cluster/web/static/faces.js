// Faces on a picture: boxes and names that can be hidden, and the next picture by a key.

for (const box of document.querySelectorAll('[data-boxes]')) {
  box.addEventListener('change', () => {
    document.querySelector('.boxed svg').classList.toggle(box.dataset.boxes, box.checked)
  })
}

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('input, select, textarea')) return
  document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`)?.click()
})
