module shop-test

go 1.21
