#!/bin/bash
#SBATCH -n4 -t30 -pdebug
true
