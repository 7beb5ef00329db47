#!/bin/bash
#JSUB --retry=3 --retry-on=oom,exit:75
#JSUB --on-dep-fail=hold
#JSUB --start-by=tomorrow
#JSUB --chdir=job
#SBATCH -t 90s
true
