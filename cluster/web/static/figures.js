// Figures as the templates write them.

/** Seconds: "0.4 s", "1:32 min", "2:05 h"; "?" for what is not known. */
export function duration(seconds) {
  if (seconds == null) return '?'
  if (seconds < 60) return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`
  const minutes = Math.floor(seconds / 60)
  const two = number => String(Math.floor(number)).padStart(2, '0')
  return minutes < 60 ? `${minutes}:${two(seconds % 60)} min` : `${Math.floor(minutes / 60)}:${two(minutes % 60)} h`
}
