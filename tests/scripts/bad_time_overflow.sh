#!/bin/bash
#SBATCH --time=99999999-99
true
