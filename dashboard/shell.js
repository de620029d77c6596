/* Part of the document itself, before Streamlit's own scripts: see shell.py. */
(function () {
  "use strict";

  /* A link in HTML would load the whole page again and begin another session, which asks for the password again. So a
     click on one of address.py's changes the address alone and lets the page follow, as the browser's own back button
     does. */
  document.addEventListener("click", function (event) {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest && event.target.closest("a");
    const to = link && (link.getAttribute("href") || link.getAttribute("xlink:href"));
    if (!to || !to.startsWith("./")) return;
    event.preventDefault();
    event.stopPropagation();
    window.history.pushState({}, "", new URL(to, window.location.href));
    window.dispatchEvent(new PopStateEvent("popstate"));
  }, true);

  /* Streamlit draws a widget when its script has come, where a bar of another height stands until then. What follows
     one is seen from then on, so that nothing moves away under a reader's eye or finger: shell.css hides what follows
     `data-coming`. Charts and tables of data keep their height free and hold up nothing. CSS could ask with :has, at
     the price of looking through the page for each of the thousand elements of a chart. */
  const FREE = ".stPrintGraphic,.stPrintFixedWidth";
  const coming = new Set(), leaving = new Set();

  function beforeBars() {
    const found = new Set();
    for (const bar of document.querySelectorAll("[data-testid=stMain] [data-testid=stSkeleton]")) {
      if (bar.parentElement.matches(FREE)) continue;
      for (let at = bar.parentElement; at.dataset.testid !== "stMain"; at = at.parentElement) found.add(at);
    }
    return found;
  }

  new MutationObserver(function () {
    const now = beforeBars();
    for (const one of now) {
      if (!coming.has(one)) one.setAttribute("data-coming", "");
      coming.add(one);
    }
    const gone = [...coming].filter(one => !now.has(one) && !leaving.has(one));
    if (!gone.length) return;
    gone.forEach(one => leaving.add(one));
    /* A frame later: first the place is taken, then what stands there is seen. Else it would be seen to move. */
    requestAnimationFrame(() => requestAnimationFrame(function () {
      const still = beforeBars();
      for (const one of gone) {
        leaving.delete(one);
        if (still.has(one)) continue;
        coming.delete(one);
        one.removeAttribute("data-coming");
      }
    }));
  }).observe(document, {childList: true, subtree: true});

  /* Tables of data are drawn by scripts which Streamlit fetches when it meets the first one, and half a second goes by
     until they run. They are fetched as soon as a page stands and the browser has nothing else to do. */
  const ahead = document.currentScript.dataset.ahead;
  function fetchAhead() {
    if (!document.querySelector("[data-testid=stApp][data-test-script-state=notRunning]")) {
      setTimeout(fetchAhead, 100);
    } else {
      const whenIdle = window.requestIdleCallback || setTimeout;  /* Safari has none */
      whenIdle(() => import(ahead).catch(() => {}));  /* Streamlit asks again, and says what is amiss */
    }
  }
  if (ahead) window.addEventListener("load", fetchAhead);
})();
