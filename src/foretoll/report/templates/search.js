for (const table of document.querySelectorAll("table.searched")) {
  const form = document.querySelector('form[data-of="' + table.id + '"]');
  const rows = [...table.tBodies[0].rows].map(row => [row, row.textContent.toLowerCase()]);
  const shown = form.querySelector("output");
  const apply = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = [...form.querySelectorAll("select")].filter(s => s.value).map(s => [+s.dataset.column, s.value]);
    let number = 0;
    for (const [row, text] of rows) {
      const fits = words.every(word => text.includes(word))
        && wanted.every(([column, value]) => row.cells[column].dataset.value === value);
      row.hidden = !fits;
      number += fits;
    }
    shown.textContent = number + " of " + rows.length;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", event => event.preventDefault());
  apply();
}
