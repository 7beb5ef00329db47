#!/bin/bash
#SBATCH -J "open
true
