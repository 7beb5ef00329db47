#!/bin/bash
# The steps of steps.jsonl: four stations are measured and cleaned, joined into one table, and two findings from it
# make the report. Each step reads what earlier ones left in data/ and leaves one file there.
#   measure K · clean K · join · trend · extremes · report
set -euo pipefail
export LC_ALL=C

out() {                                   # the file's name appears only when it is whole
    cat > "data/.$1.$$" && mv "data/.$1.$$" "data/$1"
}

mkdir -p data
step=${1:?"usage: step.sh STEP [STATION]"} station=${2:-0}
case $step in
measure) # A year of daily temperatures: a season, a slow warming, noise, and now and then a broken reading.
    awk -v station="$station" 'BEGIN {
        srand(station * 7919); for (i = 0; i < 10; i++) rand()
        for (day = 1; day <= 365; day++) {
            value = 8 + station + 10 * sin((day - 105) * 6.2831853 / 365) + day * 0.004 + 3 * (rand() - 0.5)
            if (rand() < 0.02) value = 999.9
            printf "%d,%.2f\n", day, value
        }
    }' | out "measure-$station.csv"
    ;;
clean) # Broken readings go.
    awk -F, '$2 > -60 && $2 < 60' "data/measure-$station.csv" | out "clean-$station.csv"
    ;;
join) # The mean of the stations that have a reading that day.
    cat data/clean-[1-4].csv | awk -F, '{ sum[$1] += $2; n[$1]++ }
        END { for (day in n) printf "%d,%.3f,%d\n", day, sum[day] / n[day], n[day] }' | sort -t, -n | out joined.csv
    ;;
trend) # The warming that is left when the season, whose phase and size are fitted with it, is taken out.
    awk -F, '
    function solve(n,    i, j, k, f) {    # Gauss-Jordan; the matrix is positive definite
        for (i = 1; i <= n; i++)
            for (j = 1; j <= n; j++)
                if (i != j) { f = a[j, i] / a[i, i]; for (k = i; k <= n + 1; k++) a[j, k] -= f * a[i, k] }
        for (i = 1; i <= n; i++) x[i] = a[i, n + 1] / a[i, i]
    }
    {
        angle = $1 * 6.2831853 / 365
        v[1] = 1; v[2] = $1 / 365; v[3] = sin(angle); v[4] = cos(angle); v[5] = $2
        for (i = 1; i <= 4; i++) for (j = 1; j <= 5; j++) a[i, j] += v[i] * v[j]
    }
    END {
        solve(4)
        printf "warming %+.2f degrees a year, season of +-%.1f degrees\n", x[2], sqrt(x[3] * x[3] + x[4] * x[4])
    }' data/joined.csv | out trend.txt
    ;;
extremes) # The coldest and the warmest day.
    sort -t, -k2,2n data/joined.csv | awk -F, 'NR == 1 { printf "coldest day %d (%.1f), ", $1, $2 }
        { day = $1; value = $2 } END { printf "warmest day %d (%.1f)\n", day, value }' | out extremes.txt
    ;;
report)
    { echo "$(wc -l < data/joined.csv) days of 4 stations"; cat data/trend.txt data/extremes.txt; } | out report.txt
    cat data/report.txt
    ;;
*)
    echo "step.sh: no step is called '$step'" >&2
    exit 2
    ;;
esac
