"""Write the invented data of the how-to pages, examples/orders.csv and examples/access.log: `python -m tools.docs.sample_data`.

Nothing in them is real. Addresses are of the ranges that are reserved for documentation (RFC 5737).
"""

from __future__ import annotations

import csv
import io
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
COUNT = 600
# Product, usual price, and how often it is sold.
_PRODUCTS = (("kettle", 34.9, 5), ("lamp", 59.0, 3), ("mug, blue", 7.5, 8), ("notebook", 4.2, 9), ("chair", 129.0, 1))
_COUNTRIES = (("DE", 5), ("FR", 4), ("IT", 3), ("ES", 2), ("NL", 1))
_NOTES = ("", "", "", "gift", "leave at door", "call first")
_PATHS = ("/", "/login", "/cart", "/checkout", "/static/app.js", "/api/items/{}", "/api/orders/{}")
_STATUS = ((200, 20), (304, 4), (302, 3), (404, 2), (500, 1))
_AGENTS = ("Firefox/128.0", "Chrome/126.0", "Safari/17.5", "curl/8.5.0")


def orders_csv() -> str:
    """Return a CSV file of orders with a header: dates, a category, a quoted text, whole numbers, prices and a note."""
    draw = random.Random(1)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["ordered_on", "country", "product", "quantity", "price", "express", "note"])
    for _ in range(COUNT):
        product, price, _weight = draw.choices(_PRODUCTS, [weight for *_, weight in _PRODUCTS])[0]
        country = draw.choices([name for name, _ in _COUNTRIES], [weight for _, weight in _COUNTRIES])[0]
        day = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=draw.randrange(366))
        quantity = min(12, 1 + int(draw.expovariate(0.7)))
        express = "true" if draw.random() < (0.4 if country == "DE" else 0.1) else "false"
        total = f"{price * quantity * draw.choice((0.9, 1, 1, 1.1)):.2f}"
        writer.writerow([day.date().isoformat(), country, product, quantity, total, express, draw.choice(_NOTES)])
    return out.getvalue()


def access_log() -> str:
    """Return lines of a web server's log in the usual combined form."""
    draw = random.Random(2)
    now = datetime(2024, 5, 17, 8, 0, 0, tzinfo=UTC)
    lines = []
    for _ in range(COUNT):
        now += timedelta(seconds=draw.randrange(1, 90))
        path = draw.choice(_PATHS).format(draw.randrange(100, 1000))
        status = draw.choices([code for code, _ in _STATUS], [weight for _, weight in _STATUS])[0]
        method = "POST" if path in ("/login", "/checkout") else "GET"
        host = f"{draw.choice(('192.0.2', '198.51.100', '203.0.113'))}.{draw.randrange(1, 255)}"
        size = 0 if status == 304 else draw.randrange(200, 20_000)
        moment = now.strftime("%d/%b/%Y:%H:%M:%S +0000")
        lines.append(f'{host} - - [{moment}] "{method} {path} HTTP/1.1" {status} {size} "-" "{draw.choice(_AGENTS)}"\n')
    return "".join(lines)


FILES = {"orders.csv": orders_csv, "access.log": access_log}


def main() -> None:
    """Write both files."""
    for name, make in FILES.items():
        (EXAMPLES / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
