#!/bin/bash
#JSUB --job-name=words --each-line=texts.txt
#JSUB --ntasks=1 --mem=64M --time=2m
#JSUB --output="logs/%x_%4a.out"

# Task k counts the words of the file named in line k of texts.txt (./list.sh FOLDER > texts.txt).
set -euo pipefail
export LC_ALL=C

text=${JSCHED_LINE:?"submit me with a list: jsubmit --each-line=texts.txt count.sh"}
task=$SLURM_ARRAY_TASK_ID
mkdir -p counts

tr -cs 'A-Za-z' '\n' < "$text" | tr 'A-Z' 'a-z' | awk 'length > 0' | sort | uniq -c > "counts/.task_$task"
mv "counts/.task_$task" "counts/task_$task.txt"
echo "$text: $(awk '{ words += $1 } END { print words + 0 }' "counts/task_$task.txt") words"
