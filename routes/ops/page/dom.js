/** The element with this id. */
export function byId (id) {
  return document.getElementById(id)
}

/**
 * Makes an element. Children that are no nodes become text, never markup: names of models and errors come from elsewhere.
 * Properties whose names have a dash are set as attributes.
 */
export function element (name, properties = {}, ...children) {
  const node = document.createElement(name)
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue
    if (key.includes('-') || key === 'role') node.setAttribute(key, value)
    else node[key] = value
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined))
  return node
}

/** Writes only what changed, so that screen readers and selections are left alone. */
export function setText (node, text) {
  if (node.textContent !== text) node.textContent = text
}

/**
 * A table that becomes a list of cards on a phone. The roles are written out because that layout takes them away in some browsers.
 * `columns`: headings. `rows`: arrays of nodes or text, one for each column.
 */
export function table (caption, columns, rows) {
  const head = element('tr', { role: 'row' }, columns.map((name) => element('th', { scope: 'col', role: 'columnheader' }, name)))
  return element('table', { role: 'table' },
    element('caption', { className: 'visually-hidden' }, caption),
    element('thead', { role: 'rowgroup' }, head),
    element('tbody', { role: 'rowgroup' }, rows.map((cells) => tableRow(columns, cells))))
}

function tableRow (columns, cells) {
  return element('tr', { role: 'row' }, cells.map((cell, index) => {
    const label = columns[index]
    return element(index === 0 ? 'th' : 'td', {
      role: index === 0 ? 'rowheader' : 'cell',
      scope: index === 0 ? 'row' : undefined,
      'data-label': typeof label === 'string' ? label : undefined
    }, cell)
  }))
}
