"""Pure rules of money: amounts, periods, what settles what, dunning and matching. Integer minor units throughout."""
