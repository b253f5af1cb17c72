"""The page on which a photograph is repaired in a browser: `glcic-jax serve`.

`server.py` answers requests, `requests.py` says what a request is and what is refused; the page is
plain HTML, CSS and JavaScript in `static/`. Nothing is stored, nothing is fetched from elsewhere.
"""
