#SBATCH -n 1
true
