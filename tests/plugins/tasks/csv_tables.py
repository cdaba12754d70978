"""Small CSV files and tasks that read them."""

from datetime import datetime, timedelta

import numpy as np

from rnnbench_tasks.csv_forecast import CSVForecast


def shops(days=200, gone=(40, 41), empty=(60,)):
    """Two shops, with a holiday known ahead, rows that are missing and empty cells."""
    rng = np.random.default_rng(0)
    rows = ["date,shop,sales,visitors,holiday,note"]
    for shop, base in (("north", 100), ("south", 50)):
        for i in range(days):
            if i in gone:
                continue
            sales = base * (1 + 0.3 * np.sin(2 * np.pi * i / 7)) + 20 * (i % 17 == 0)
            sales = "" if i in empty else f"{sales + rng.normal():.3f}"
            day = datetime(2020, 1, 1) + timedelta(days=i)
            row = (day.date(), shop, sales, f"{3 * base + rng.normal():.2f}", int(i % 17 == 0))
            rows.append(",".join(map(str, row)) + (',"words, too"' if i % 2 else ","))
    return "\n".join(rows) + "\n"


SHOPS = {
    "series_column": "shop", "targets": ("sales",), "covariates": ("visitors",),
    "ahead": ("holiday",), "calendar": ("weekday",), "context": 14, "horizon": 7,
}  # fmt: skip


def made(tmp_path, text, name="table.csv", **settings):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CSVForecast(path=str(path), **settings)


def days(n=60, values="{i}", header="date,v", step=timedelta(days=1)):
    rows = [f"{datetime(2020, 1, 1) + i * step},{values.format(i=i)}" for i in range(n)]
    return "\n".join([header, *rows]) + "\n"


SMALL = {"context": 4, "horizon": 2}
